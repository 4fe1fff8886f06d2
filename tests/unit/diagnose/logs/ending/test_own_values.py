"""What a script's own line asks for and does not get."""

from __future__ import annotations

import pytest

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
