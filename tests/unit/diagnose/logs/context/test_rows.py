"""What rows of data lack, by the frames that ask them."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.context.rows import explain_row
from tests.support.logs import codes

SITE = '  File "/x/lib/python3.11/site-packages/'
MAP = f'{SITE}datasets/arrow_dataset.py", line 3882, in apply_function\n    processed = function(*args)\n'
OWN = '  File "/home/user/train.py", line 28, in tokenize\n    text = row["output"].strip()\n'
ROW = f'{SITE}datasets/formatting/formatting.py", line 299, in __getitem__\n    value = self.data[key]\n'
SPLITS = f'{SITE}datasets/dataset_dict.py", line 80, in __getitem__\n    return super().__getitem__(k)\n'
EMPTY = f'{SITE}datasets/packaged_modules/json/json.py", line 101, in _split_generators\n    table = next(iter(x))[1]\n'
FIRST = f'{SITE}trl/trainer/sft_trainer.py", line 900, in __init__\n    first = next(iter(train_dataset))\n'

TRL = f'{SITE}trl/trainer/dpo_trainer.py", line 1098, in tokenize_fn\n    {{}}\n'
TOKENIZE = f'{SITE}transformers/tokenization_utils_base.py", line 2537, in __call__\n    raise ValueError("…")\n'


@pytest.mark.parametrize(
    ("before", "line", "says"),
    [
        (MAP + OWN + ROW, "KeyError: 'output'", "no column `output`"),
        (SPLITS, "KeyError: 'validation'", "no split `validation`"),
        (EMPTY, "StopIteration", "json file that the data set is made of is empty"),
        (FIRST, "StopIteration", "there is none"),
        (MAP + OWN, "AttributeError: 'NoneType' object has no attribute 'strip'", "got None (the line reads `output`)"),
        (
            MAP + TRL.format('ids = tokenizer(row["rejected"])') + TOKENIZE,
            "ValueError: You need to specify either `text` or `text_target`.",
            "in the column `rejected`",
        ),
        (
            MAP + TRL.format('ids = tokenize(row["prompt"] + row["chosen"])'),
            'TypeError: can only concatenate list (not "str") to list',
            "`prompt` is messages and `chosen` is text",
        ),
        (
            MAP + OWN.replace('row["output"].strip()', 'row["answers"][0]'),
            "IndexError: list index out of range",
            "a list in `answers`",
        ),
        (
            TRL.format('desirable = max(sum(dataset["label"]), 1)'),
            "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
            "column `label` are str",
        ),
    ],
)
def test_rows_that_lack_something_are_the_cause(before: str, line: str, says: str) -> None:
    told = explain_row(line, before)
    assert told is not None
    assert says in told.says
    assert codes(f"Traceback (most recent call last):\n{before}{line}\n") == ["data-not-as-expected"]


@pytest.mark.parametrize(
    ("before", "line"),
    [
        (OWN, "KeyError: 'output'"),
        (OWN, "StopIteration"),
        (OWN, "AttributeError: 'NoneType' object has no attribute 'strip'"),
        (MAP + '  File "/home/user/train.py", line 3, in f\n    tokenizer.apply_chat_template(row)\n',
         "AttributeError: 'NoneType' object has no attribute 'apply_chat_template'"),
    ],
)  # fmt: skip
def test_a_script_of_its_own_is_no_matter_of_rows(before: str, line: str) -> None:
    assert explain_row(line, before) is None


def test_a_function_of_a_batch_that_gets_one_row_is_of_another_release() -> None:
    before = (
        MAP
        + f'{SITE}trl/trainer/sft_trainer.py", line 1269, in _func\n    return {{"text": formatting_func(example)}}\n'
        '  File "/home/user/train.py", line 8, in fmt\n    out.append(ex["q"][i] + ex["a"][i])\n'
    )
    told = explain_row("IndexError: string index out of range", before)
    assert told is not None
    assert told.code == "library-api-changed"
