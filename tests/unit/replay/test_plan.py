"""What a plan refuses before anything is built."""

from __future__ import annotations

import pytest

from envpin.core.errors import UsageError
from envpin.replay.plan import refuse_incomplete

WHOLE = {"torch": "2.13.0", "transformers": "5.24.0", "peft": "0.21.2"}


@pytest.mark.parametrize(("left_out", "said"), [(["peft"], "no peft"), (["torch", "peft"], "no torch and no peft")])
def test_an_environment_that_cannot_merge_is_refused_before_it_is_built(left_out: list[str], said: str) -> None:
    held = {name: version for name, version in WHOLE.items() if name not in left_out}
    with pytest.raises(UsageError, match=said) as refused:
        refuse_incomplete("transformers==5.24.0", held)
    assert "--environment" in str(refused.value.hint)
    refuse_incomplete("these", WHOLE)
    refuse_incomplete(None, held)
