"""A field of a newer file, a cache that code reads as a tuple, an argument that a metric does not take."""

from __future__ import annotations

import pytest

from tests.support.logs import SCRIPT, SITE, answer

CASES = [
    ("diffusers/pipelines/pipeline_utils.py", "from_pretrained",
     "TypeError: StableDiffusionPipeline.__init__() got an unexpected keyword argument 'image_encoder'",
     "library-api-changed", "another diffusers wrote the file"),
    ("transformers/models/x/modeling_x.py", "forward", "TypeError: 'DynamicCache' object is not subscriptable",
     "transformers-api-changed", "5.0"),
    ("peft/peft_model.py", "prepare_inputs_for_generation", "TypeError: 'DynamicCache' object is not subscriptable",
     "peft-transformers-incompatible", "5.0"),
    ("accelerate/accelerator.py", "backward", "AttributeError: 'NoneType' object has no attribute 'backward'",
     "library-fault", "or it was given nothing (None)"),
    ("evaluate/module.py", "compute", "TypeError: Accuracy._compute() got an unexpected keyword argument 'foo'",
     "settings-refused", "`foo`"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "function", "line", "code", "said"), CASES)
def test_what_a_library_does_not_take_has_its_cause(path: str, function: str, line: str, code: str, said: str) -> None:
    codes, text = answer(f'{SCRIPT}  File "{SITE}/{path}", line 3, in {function}\n    x\n{line}\n')
    assert codes == [code]
    assert said in text


@pytest.mark.parametrize(
    ("code", "line", "expected", "said"),
    [
        ("first = next(iter(train_dataset))", "TypeError: 'NoneType' object is not iterable", "settings-refused",
         "no `train_dataset`"),
        ("names = list(next(iter(dataset)).keys())", "AttributeError: 'str' object has no attribute 'keys'",
         "data-not-as-expected", "DatasetDict"),
        ("dataset = dataset.map(", "AttributeError: 'list' object has no attribute 'map'", "data-not-as-expected",
         "was given a `list`"),
    ],
)  # fmt: skip
def test_what_a_trainer_was_given_for_a_set_is_said(code: str, line: str, expected: str, said: str) -> None:
    log = f'{SCRIPT}  File "{SITE}/trl/trainer/sft_trainer.py", line 3, in _prepare_dataset\n    {code}\n{line}\n'
    codes, text = answer(log)
    assert codes == [expected]
    assert said in text


def test_a_decorator_that_hands_a_call_on_gives_nothing() -> None:
    hub = f'  File "{SITE}/huggingface_hub/utils/_deprecation.py", line 101, in inner_f\n    return f(*args)\n'
    line = "TypeError: DPOTrainer.__init__() got an unexpected keyword argument 'processing_class'"
    codes, text = answer(f"{SCRIPT}{hub}{line}\n")
    assert codes == ["library-api-changed"]
    assert "huggingface-hub" not in text
