"""What a script's own line asks for and does not get."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.ending.own_values import of_own_value
from tests.support.logs import SCRIPT, answer

FRAME = '  File "/srv/work/train_lora.py", line 40, in main\n    {}\n'


@pytest.mark.parametrize(
    ("code", "line", "expected", "said"),
    [
        ("cfg = TrainConfig(**yaml.safe_load(f))",
         "TypeError: TrainConfig.__init__() got an unexpected keyword argument 'lr_rate'",
         "settings-refused", "`lr_rate`"),
        ("loss.backward()", "AttributeError: 'NoneType' object has no attribute 'backward'",
         "data-not-as-expected", "no `labels`"),
        ("val_dataset = val_dataset.map(encode)", "AttributeError: 'NoneType' object has no attribute 'map'",
         "data-not-as-expected", "`val_dataset` is None"),
        ("return [len(set(completion.lower())) for completion in completions]",
         "AttributeError: 'list' object has no attribute 'lower'", "data-not-as-expected", "list of messages"),
        ("preds = torch.cat(all_preds)", "RuntimeError: torch.cat(): expected a non-empty list of Tensors",
         "data-not-as-expected", "is empty"),
        ('if cfg["train"]["epochs"] > 0:', "TypeError: '>' not supported between instances of 'str' and 'int'",
         "settings-refused", "`epochs` is text"),
        ("if args.warmup > 0:", "TypeError: '>' not supported between instances of 'str' and 'int'",
         "settings-refused", "`warmup` is text"),
        ('model.save_pretrained("out")',
         "AttributeError: 'DistributedDataParallel' object has no attribute 'save_pretrained'",
         "settings-refused", "model.module.save_pretrained"),
    ],
)  # fmt: skip
def test_what_a_script_asks_for_is_said(code: str, line: str, expected: str, said: str) -> None:
    codes, text = answer(f"{SCRIPT}{FRAME.format(code)}{line}\n")
    assert codes == [expected]
    assert said in text


LOOKUPS = (
    ("KeyError", "'2'", "print(model.config.id2label[str(pred)])", "index-out-of-range", "`model.config.id2label`"),
    ("IndexError", "list index out of range", "label = LABELS[pred]", "index-out-of-range", "`LABELS`"),
    ("KeyError", "'none'", "y_pred = [mapping[p] for p in preds]", "data-not-as-expected", "'none' in `mapping`"),
    (
        "IndexError", "index 32000 is out of bounds for dimension 0 with size 32000", "new[i] = old_emb[old_id]",
        "index-out-of-range", "row 32000 of a table of 32000",
    ),
)  # fmt: skip


@pytest.mark.parametrize(("exception", "message", "code", "cause", "says"), LOOKUPS)
def test_a_lookup_is_told_by_its_line(exception: str, message: str, code: str, cause: str, says: str) -> None:
    before = f'  File "/app/infer.py", line 21, in main\n    {code}\n{exception}: '
    told = of_own_value(exception, message, before)
    assert told is not None
    assert told.code == cause
    assert says in told.says


def test_a_line_with_two_lookups_is_not_told() -> None:
    assert of_own_value("KeyError", "'a'", '  File "/app/x.py", line 1, in f\n    one[a] + two[b]\nKeyError: ') is None


def test_a_split_is_none_of_a_rows_fields() -> None:
    before = '  File "/app/train.py", line 21, in main\n    rows = prepare(dataset["train"], args)\nKeyError: '
    told = of_own_value("KeyError", "'train'", before)
    assert told is not None
    assert (told.code, "no split `train`" in told.says) == ("data-not-as-expected", True)
