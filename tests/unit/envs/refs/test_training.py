"""The manifest whose training environment is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError
from envpin.envs.refs.training import training_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("names", [(), ("one", "two")])
def test_a_folder_that_only_holds_adapters_names_them(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "envpin.json").write_text("{}")
    with pytest.raises(InputError, match="no envpin") as raised:
        training_manifest(tmp_path)
    assert [str(tmp_path / name) in (raised.value.hint or "") for name in names] == [True for _ in names]
    assert ("envpin record" in (raised.value.hint or "")) is not bool(names)
