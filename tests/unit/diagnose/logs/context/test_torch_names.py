"""Names that torch does not have, by who asks for them."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.context.torch_names import explain_torch_name
from tests.support.logs import SCRIPT, SITE

GETATTR = f'  File "{SITE}/torch/__init__.py", line 2963, in __getattr__\n    raise AttributeError(name)\n'


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("AttributeError: module 'torch' has no attribute 'bfloat32'", "settings-refused", "is `torch.float32` meant?"),
        ("AttributeError: module 'torch' has no attribute 'fp16'", "settings-refused", "`torch.bfloat16` meant?"),
        ("AttributeError: module 'torch' has no attribute 'rfft'", "library-api-changed", "`rfft` of `torch`"),
        ("ModuleNotFoundError: No module named 'torch._six'", "library-api-changed", "the module `torch._six`"),
    ],
)
def test_a_script_that_asks_is_of_another_time_or_misspells_a_type(error: str, code: str, said: str) -> None:
    told = explain_torch_name(error, f"{SCRIPT}{GETATTR}{error}")
    assert told is not None
    assert told.code == code
    assert said in told.says


def test_a_package_that_asks_is_left_to_its_signature() -> None:
    error = "AttributeError: module 'torch' has no attribute 'int1'"
    frame = f'  File "{SITE}/torchao/utils.py", line 3, in <module>\n    torch.int1\n'
    assert explain_torch_name(error, f"{SCRIPT}{frame}{GETATTR}{error}") is None
