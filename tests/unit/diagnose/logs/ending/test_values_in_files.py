"""A value of another type in a file that a library loads: whose file, and what is left to other rules."""

from __future__ import annotations

import pytest

from tests.support.logs import answer

_SITE = "/usr/local/lib/python3.11/site-packages"


def log(frames: list[tuple[str, str, str]], error: str) -> str:
    """A traceback through these files of libraries: path, function and line of code."""
    lines = ["Traceback (most recent call last):", '  File "/home/user/merge.py", line 9, in <module>', "    main()"]
    for path, function, code in frames:
        lines += [f'  File "{_SITE}/{path}", line 99, in {function}', f"    {code}"]
    return "\n".join([*lines, error])


_PEFT = ("peft/peft_model.py", "from_pretrained", "model = cls(model, config, adapter_name)")
_TUNER = ("peft/tuners/lora/model.py", "_create_and_replace", "get_pattern_key(config.alpha_pattern.keys(), key)")
_TOKENIZER = (
    "transformers/tokenization_utils_base.py", "_from_pretrained", "tokenizer = cls(*init_inputs, **init_kwargs)",
)  # fmt: skip
_LENGTH = ("transformers/tokenization_utils_base.py", "__init__", "if LARGE > self.model_max_length:")


@pytest.mark.parametrize(
    ("frames", "error", "file"),
    [
        ([_PEFT, _TUNER], "AttributeError: 'float' object has no attribute 'keys'", "adapter_config.json"),
        ([_PEFT, _TUNER], "TypeError: unsupported operand type(s) for /: 'str' and 'int'", "adapter_config.json"),
        ([_TOKENIZER, _LENGTH], "TypeError: '>' not supported between instances of 'int' and 'bool'",
         "tokenizer_config.json"),
    ],
)  # fmt: skip
def test_the_file_is_that_of_the_function_that_loads(frames: list[tuple[str, str, str]], error: str, file: str) -> None:
    codes, text = answer(log(frames, error))
    assert list(codes) == ["settings-refused"]
    assert f"a value in {file} is of another type" in text
    assert "envpin check FOLDER" in text


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        # Nothing was loaded: a value that the caller gave.
        ([("peft/tuners/lora/config.py", "__post_init__", "self.r / 2"), _TUNER],
         "AttributeError: 'float' object has no attribute 'keys'"),
        # An object that a file of another release holds.
        ([_TOKENIZER, _LENGTH], "AttributeError: 'dict' object has no attribute 'model_type'"),
        ([_PEFT, _TUNER], "AttributeError: 'NoneType' object has no attribute 'keys'"),
    ],
)  # fmt: skip
def test_what_may_have_another_cause_is_left_to_others(frames: list[tuple[str, str, str]], error: str) -> None:
    assert "is of another type" not in answer(log(frames, error))[1]


_ROPE = ("transformers/models/llama/modeling_llama.py", "__init__", "rope = ROPE_INIT_FUNCTIONS[self.rope_type]")
_MLP = ("transformers/models/llama/modeling_llama.py", "__init__", "self.act_fn = ACT2FN[config.hidden_act]")
_ACTIVATIONS = ("transformers/activations.py", "__getitem__", "content = super().__getitem__(key)")
_INDEX = ("transformers/utils/hub.py", "get_checkpoint_shard_files", 'sharded_metadata = index["metadata"]')


@pytest.mark.parametrize(
    ("frames", "key", "code"),
    [
        ([_ROPE], "proportional", "rope-config-unreadable"), ([_MLP, _ACTIVATIONS], "xgelu", "settings-refused"),
        ([_INDEX], "metadata", "corrupt-header"),
    ],
)  # fmt: skip
def test_a_name_that_transformers_looks_up_is_named(frames: list[tuple[str, str, str]], key: str, code: str) -> None:
    codes, text = answer(log(frames, f"KeyError: '{key}'"))
    assert list(codes) == [code]
    assert f"`{key}`" in text


@pytest.mark.parametrize(
    "error",
    [
        "TypeError: empty(): argument 'size' (position 1) must be tuple of ints, but found type str",
        "RuntimeError: Trying to create tensor with negative dimension -1: [-1, 64]",
        "TypeError: unsupported operand type(s) for //: 'int' and 'NoneType'",
    ],
)
def test_the_field_of_which_no_layer_can_be_made_is_named(error: str) -> None:
    made = (
        "transformers/models/llama/modeling_llama.py",
        "__init__",
        "self.up = nn.Linear(8, config.intermediate_size)",
    )
    codes, text = answer(log([made, ("torch/nn/modules/linear.py", "__init__", "torch.empty((out, into))")], error))
    assert list(codes) == ["settings-refused"]
    assert "config.json's `intermediate_size`" in text
