"""Errors whose frames tell which library of the stack made the call."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.context.callers import explain_frame
from tests.support.logs import SCRIPT, SITE, answer, codes

PEFT = '  File "/srv/lib/python3.12/site-packages/peft/mapping.py", line 9, in get_peft_model\n'
OWN = '  File "/srv/project/train.py", line 9, in main\n'
KEYWORD = "TypeError: Resampler.__init__() got an unexpected keyword argument 'depth'"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (KEYWORD, "library-api-changed"),
        ("TypeError: Resampler.forward() missing 1 required positional argument: 'mask'", "library-api-changed"),
        ("TypeError: resample() takes 2 positional arguments but 3 were given", "library-api-changed"),
        ("AttributeError: 'Resampler' object has no attribute 'depth'", "library-api-changed"),
        ("AttributeError: 'QwenConfig' object has no attribute 'depth'", "transformers-api-changed"),
        ("ImportError: cannot import name 'depth' from 'resampler'", "library-api-changed"),
        ("ValueError: too many values to unpack (expected 2)", "library-api-changed"),
        ("NameError: name 'Resampler' is not defined", "library-fault"),
        ("AttributeError: 'GRPOConfig' object has no attribute 'num_iterations'", "library-api-changed"),
    ],
)
def test_a_call_of_a_library_is_a_difference_of_releases(line: str, code: str) -> None:
    told = explain_frame(line, OWN + PEFT)
    assert told is not None
    assert told.code == code
    if "GRPOConfig" not in line:
        assert explain_frame(line, OWN) is None


@pytest.mark.parametrize("before", ["", OWN])
def test_what_a_script_asks_of_a_class_of_the_stack_is_told_by_whose_it_is(before: str) -> None:
    told = explain_frame("AttributeError: 'GRPOConfig' object has no attribute 'num_iterations'", before)
    assert told is not None
    assert told.code == "library-api-changed"
    assert "trl 0.16 and newer have" in told.says
    assert explain_frame("AttributeError: 'ShopConfig' object has no attribute 'num_iterations'", before) is None


def test_a_call_within_one_library_is_its_fault() -> None:
    frame = PEFT.replace("peft/mapping.py", "trl/trainer/grpo_trainer.py")
    told = explain_frame("AttributeError: 'GRPOTrainer' object has no attribute 'nonesuch'", frame)
    assert told is not None
    assert told.code == "library-fault"


@pytest.mark.parametrize(
    "line",
    [
        "AttributeError: 'NoneType' object has no attribute 'shape'",
        "AttributeError: 'dict' object has no attribute 'shape'",
        "ValueError: bad value",
        "RuntimeError: no",
    ],
)
def test_a_value_of_a_builtin_type_blames_no_release(line: str) -> None:
    assert explain_frame(line, PEFT) is None


def test_the_attribute_of_a_model_that_a_script_asked_for_blames_no_release() -> None:
    frame = '  File "/srv/lib/python3.12/site-packages/peft/peft_model.py", line 824, in __getattr__\n'
    assert explain_frame("AttributeError: 'PeftModel' object has no attribute 'load'", OWN + frame) is None


def test_examples_of_a_library_are_someones_own_code() -> None:
    assert explain_frame(KEYWORD, '  File "/srv/peft/examples/sft/train.py", line 3, in main\n') is None


def test_releases_that_the_log_states_are_named() -> None:
    told = explain_frame(KEYWORD, "trl==0.22.2\nTransformers: 4.53.2\n" + PEFT)
    assert told is not None
    assert "transformers 4.53.2, trl 0.22.2" in told.says


def _model(below: str = "") -> str:
    frame = f'  File "{SITE}/transformers/models/vit/modeling_vit.py", line 106, in forward\n'
    return f"{SCRIPT}{below}{frame}    batch_size, channels, height, width = pixel_values.shape\n"


def test_an_input_of_other_dimensions_is_no_fault_of_a_release() -> None:
    found, text = answer(f"{_model()}ValueError: too many values to unpack (expected 4)\n")
    assert found == ["inputs-do-not-fit"]
    assert "has more dimensions (expected 4)" in text


def test_another_library_makes_its_own_inputs() -> None:
    own = f'  File "{SITE}/span_marker/modeling.py", line 9, in forward\n    self.encoder(input_ids)\n'
    assert codes(f"{_model(own)}ValueError: too many values to unpack (expected 4)\n") != ["inputs-do-not-fit"]


def test_a_member_that_an_enumeration_lacks_is_of_its_package() -> None:
    code = "    if accelerator.distributed_type == DistributedType.XLA:\n"
    enum = '  File "/usr/lib/python3.11/enum.py", line 784, in __getattr__\n    raise AttributeError(name)\n'
    found, text = answer(f"{SCRIPT.replace('    main()', code.rstrip())}{enum}AttributeError: XLA\n")
    assert found == ["library-api-changed"]
    assert "`DistributedType` of the installed accelerate has no `XLA`" in text


@pytest.mark.parametrize("owner", ["SFTConfig", "ScriptArguments"])
def test_settings_without_a_field_that_a_library_reads_are_of_another_time(owner: str) -> None:
    frame = f'  File "{SITE}/trl/trainer/sft_trainer.py", line 298, in __init__\n'
    source = "    self.dataset_num_proc = args.dataset_num_proc\n"
    log = f"{SCRIPT}{frame}{source}AttributeError: '{owner}' object has no attribute 'dataset_num_proc'\n"
    named, text = answer(log)
    assert named == ["library-api-changed"]
    assert f"the `{owner}` of the script has no such field" in text


@pytest.mark.parametrize(
    ("line", "cause", "said"),
    [
        ("NameError: name 'LlamaAttention_fast_forward' is not defined", "library-fault", "unsloth_compiled_cache"),
        ("NameError: name 'VARIANT_KWARG_KEYS' is not defined", "library-api-changed", "the code of peft"),
        ("TypeError: find_adapter_config_file() got an unexpected keyword argument 'x'", "transformers-api-changed",
         "of different releases"),
        ("AttributeError: 'RayPPOTrainer' object has no attribute 'fit'", "library-api-changed", "is of verl"),
        ("AttributeError: 'DatasetDict' object has no attribute 'select'", "data-not-as-expected", 'dataset["train"]'),
        ("KeyError: 'token_adapter.trainable_tokens_delta.default'", "library-fault", "given to save"),
        ("AttributeError: 'InferenceClient' object has no attribute 'post'", "library-api-changed", "0.31"),
        ("'transformers.models.qwen2_5_vl.modeling_qwen2_5_vl' has no attribute '_flash_attention_forward'.",
         "transformers-api-changed", "went with 4.53"),
    ],
)  # fmt: skip
def test_a_name_that_one_library_alone_has_needs_no_frame(line: str, cause: str, said: str) -> None:
    found, text = answer(f"{line}\n")
    assert found == [cause]
    assert said in text


@pytest.mark.parametrize(
    "line",
    [
        "NameError: name 'MAX_RETRY_COUNT' is not defined",
        "NameError: name 'fast_forward' is not defined",
        "TypeError: get_user_by_id() got an unexpected keyword argument 'id'",
        "AttributeError: 'TaskRunner' object has no attribute 'model'",
    ],
)
def test_a_name_of_any_program_has_no_code(line: str) -> None:
    assert codes(f"{line}\n") == []
