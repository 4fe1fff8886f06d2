"""Text and empty cells of which a script makes numbers, and files that it counts through."""

from __future__ import annotations

import pytest

from tests.support.logs import SCRIPT, answer

FRAME = '  File "/srv/work/{}", line 40, in main\n    {}\n'


@pytest.mark.parametrize(
    ("code", "line", "expected", "said"),
    [
        ('y = int(row["label"])', "ValueError: invalid literal for int() with base 10: 'positive'",
         "data-not-as-expected", "the column `label`"),
        ("y = float(parts[1])", "ValueError: could not convert string to float: 'score'", "data-not-as-expected",
         "'score', which is text"),
        ('y = int(row["label"])', "ValueError: cannot convert float NaN to integer", "data-not-as-expected",
         "is empty (NaN): the column `label`"),
        ('y = int(row["label"])', "ValueError: invalid literal for int() with base 10: ''", "data-not-as-expected",
         "is empty (NaN)"),
        ('steps = int(os.environ["STEPS"])', "ValueError: invalid literal for int() with base 10: '1k'",
         "settings-refused", "'1k', which is no number"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_said_with_its_column(code: str, line: str, expected: str, said: str) -> None:
    codes, text = answer(f"{SCRIPT}{FRAME.format('eval_lora.py', code)}{line}\n")
    assert codes == [expected]
    assert said in text


def test_numbers_of_another_field_stay_silent() -> None:
    line = "ValueError: invalid literal for int() with base 10: 'abc'"
    assert answer(f"{FRAME.format('shop.py', 'n = int(row[1])')}{line}\n")[0] == []


def test_a_numbered_file_that_a_loop_asks_for_is_told() -> None:
    code = "with open(f'{folder}/part_{i}.jsonl') as f:"
    line = "FileNotFoundError: [Errno 2] No such file or directory: 'out/part_3.jsonl'"
    codes, text = answer(f"{SCRIPT}{FRAME.format('convert.py', code)}{line}\n")
    assert codes == ["data-not-as-expected"]
    assert "they end before it" in text


def test_the_error_of_a_worker_is_the_one_that_is_read() -> None:
    caught = (
        "ValueError: Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
    )
    line = "ValueError: invalid literal for int() with base 10: 'bad'"
    frame = FRAME.format("train_lora.py", 'return int(self.rows[at]["label"])')
    codes, text = answer(f"{SCRIPT}{caught}{frame}{line}\n")
    assert codes == ["data-not-as-expected"]
    assert "'bad', which is text" in text


@pytest.mark.parametrize(
    ("own", "other", "code"),
    [("distilbert", "t5", "model-of-another-kind"), ("gpt2", "bert", "model-of-another-kind"),
     ("bert", "roberta", "architecture-drift"), ("llama", "mistral", "architecture-drift"),
     ("bart", "gpt2", "model-of-another-kind")],
)  # fmt: skip
def test_a_variant_is_told_from_a_model_of_another_kind(own: str, other: str, code: str) -> None:
    line = f"You are using a model of type {own} to instantiate a model of type {other}. This is not supported."
    assert answer(f"{line}\n")[0] == [code]


def test_a_plain_model_is_told_from_one_that_lacks_its_head() -> None:
    line = (
        "Some weights of BertForSequenceClassification were not initialized from the model checkpoint at ./b and are "
    )
    plain = "newly initialized: ['bert.pooler.dense.bias', 'bert.pooler.dense.weight', 'classifier.bias']"
    assert answer(f"{line}{plain}\n")[0] == ["model-of-another-kind"]
    assert answer(f"{line}newly initialized: ['classifier.bias', 'classifier.weight']\n")[0] == ["task-head"]
    assert answer(f"{line}{plain}\n{{'loss': 0.5, 'grad_norm': 1.0}}\n{{'train_runtime': 3}}\n")[0] == []
