"""What the lines around a line add to what is said of it."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.context.following import TELL, WHICH_ROW
from envpin.diagnose.logs.signatures.signature import load_signatures
from tests.support.logs import answer, codes

PYDANTIC = """pydantic_core._pydantic_core.ValidationError: 2 validation errors for AxolotlInputConfig
datasets.0.SFTDataset.type
  Field required [type=missing, input_value={'path': 'data.jsonl'}, input_type=dict]
    For further information visit https://errors.pydantic.dev/2.10/v/missing
sequence_len
  Input should be a valid integer [type=int_parsing, input_value='4k', input_type=str]
"""
MISMATCH = """ValueError: Please correct the following DeepSpeed config values that mismatch TrainingArguments values:
- ds train_micro_batch_size_per_gpu=2 vs hf per_device_train_batch_size=4
The easiest method is to set these DeepSpeed config values to 'auto'.
"""
DROPPED = """Dropping fully masked examples from train dataset: 100%|##########| 8/8 [00:00<00:00, 1354.48 examples/s]
ValueError: num_samples should be a positive integer value, but got num_samples=0
"""
BATCHES = (
    "AssertionError: Check batch related parameters. train_batch_size is not equal to micro_batch_per_gpu * "
    "gradient_acc_step * world_size 64 != 8 * 1 * 2\n"
)
YAML = """import transformers
  File "/srv/work/train_lora.py", line 9, in main
    cfg = yaml.safe_load(f)
yaml.scanner.ScannerError: mapping values are not allowed here
  in "configs/sft.yml", line 14, column 12
"""
COLUMN = """  File "/home/user/train.py", line 6, in preprocess
    return tok(batch["title"], truncation=True, max_length=16)
TypeError: TextEncodeInput must be Union[TextInputSequence, Tuple[InputSequence, InputSequence]]
"""


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (PYDANTIC, "`datasets.0.SFTDataset.type` (field required)"),
        (PYDANTIC, "`sequence_len` (input should be a valid integer, given '4k')"),
        (MISMATCH, "`train_micro_batch_size_per_gpu=2` there, `per_device_train_batch_size=4` here"),
        (DROPPED, "the trainer dropped every row"),
        (BATCHES, "8 · 1 · 2 = 16"),
        (COLUMN, "the column `title`"),
        (YAML, "`configs/sft.yml`, line 14"),
    ],
)
def test_what_the_lines_around_name_is_said(log: str, says: str) -> None:
    assert says in answer(log)[1]


@pytest.mark.parametrize("log", [PYDANTIC.split("\n", maxsplit=1)[0], DROPPED.split("\n")[1], COLUMN.split("\n")[2]])
def test_a_line_alone_keeps_its_own_words(log: str) -> None:
    assert codes(log)


def test_a_column_that_makes_no_tensor_is_named() -> None:
    line = (
        "ValueError: Unable to create tensor, you should probably activate truncation and/or padding. Perhaps your "
        "features (`labels` in this case) have excessive nesting (inputs type `list` where type `int` is expected).\n"
    )
    assert "the column `labels`" in answer(line)[1]


def test_signatures_name_each_reader_of_the_lines_around_and_no_other() -> None:
    named = {one.around: one.says for one in load_signatures() if one.around is not None}
    assert set(named) == {*TELL, WHICH_ROW}
    assert all(named.values()), "a reader adds to words that the signature has"
