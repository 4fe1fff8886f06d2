"""A file or folder of one's own that is imported in place of a package."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.context.hidden import explain_hidden
from tests.support.logs import SITE, answer

FRAME = 'Traceback (most recent call last):\n  File "/srv/bert/{script}", line 4, in <module>\n    {code}\n'


def log(script: str, code: str, error: str) -> str:
    return FRAME.format(script=script, code=code) + f"{error}\n"


@pytest.mark.parametrize(
    ("script", "code", "error", "cause", "said"),
    [
        ("train.py", "from datasets import load_dataset",
         "ImportError: cannot import name 'load_dataset' from 'datasets' (/srv/bert/datasets.py)",
         "installation-broken", "rename `/srv/bert/datasets.py`"),
        ("tokenizers.py", "from tokenizers import Tokenizer",
         ("ImportError: cannot import name 'Tokenizer' from partially initialized module 'tokenizers' (most likely due "
         "to a circular import) (/srv/bert/tokenizers.py)"), "installation-broken", "the file `tokenizers.py`"),
        ("evaluate.py", 'metric = evaluate.load("rouge")',
         ("AttributeError: partially initialized module 'evaluate' has no attribute 'load' (most likely due to a "
         "circular import)"), "installation-broken", "hides as it has the same name"),
        ("run.py", "from transformers import pipeline",
         "ImportError: cannot import name 'pipeline' from 'transformers' (/srv/bert/transformers/__init__.py)",
         "installation-broken", "the folder `transformers` next to the script"),
        ("check.py", 'model = onnx.load("m.onnx")', "AttributeError: module 'onnx' has no attribute 'load'",
         "package-missing", "python -m pip install onnx"),
        ("train.py", 'wandb.init(project="x")', "AttributeError: module 'wandb' has no attribute 'init'",
         "package-missing", "a folder or file of that name"),
    ],
)  # fmt: skip
def test_what_is_imported_in_place_of_a_package_is_named(
    script: str, code: str, error: str, cause: str, said: str
) -> None:
    codes, text = answer(log(script, code, error))
    assert codes == [cause]
    assert said in text


@pytest.mark.parametrize(
    "error",
    [
        f"ImportError: cannot import name 'load_dataset' from 'datasets' ({SITE}/datasets/__init__.py)",
        "ImportError: cannot import name 'X' from 'transformers' (/srv/transformers/src/transformers/__init__.py)",
        "AttributeError: module 'onnx' has no attribute 'optimizer'",
        "ImportError: cannot import name 'helper' from 'utils' (/srv/bert/utils.py)",
    ],
)
def test_a_package_that_is_installed_is_hidden_by_nothing(error: str) -> None:
    assert explain_hidden(error, log("train.py", "x", error)) is None
