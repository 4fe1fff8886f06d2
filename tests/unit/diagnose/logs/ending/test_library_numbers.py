"""Settings given as text where a library wants a number."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.ending.library_numbers import (
    no_key,
    no_multiple,
    no_path,
    nothing_for_a_setting,
    text_for_a_number,
)


@pytest.mark.parametrize(
    ("exception", "message", "code", "named"),
    [
        (
            "TypeError", "must be real number, not str",
            "max_steps = math.ceil(args.num_train_epochs * num_update_steps_per_epoch)", "`num_train_epochs`",
        ),
        (
            "ValueError", "could not convert string to float: 'x'",
            "self.batch_schedule = float(batch_size[1]) if len(batch_size) > 1 else 1", "`batch_size`",
        ),
        (
            "TypeError", "'>' not supported between instances of 'str' and 'int'",
            "if self.args.warmup_steps > 0", "`warmup_steps`",
        ),
        (
            "TypeError", "only integer tensors of a single element can be converted to an index",
            "per_sequence_loss = -F.logsigmoid(self.beta * delta_score)", "`beta`",
        ),
    ],
)  # fmt: skip
def test_text_for_a_number_names_the_setting(exception: str, message: str, code: str, named: str) -> None:
    told = text_for_a_number(exception, message, "transformers", _traceback(code, message))
    assert told is not None
    assert told.code == "settings-refused"
    assert named in told.says


@pytest.mark.parametrize(
    ("package", "message", "code"),
    [
        ("datasets", "could not convert string to float: 'x'", "value = float(kwargs['x'])"),
        ("transformers", "not enough values to unpack", "a, b = config.sizes"),
    ],
)
def test_text_for_a_number_is_silent_on_rows_and_other_errors(package: str, message: str, code: str) -> None:
    assert text_for_a_number("ValueError", message, package, _traceback(code, message)) is None


def _traceback(code: str, message: str) -> str:
    return f'  File "/site-packages/transformers/trainer.py", line 9, in train\n    {code}\nError: {message}'


def test_two_sizes_that_do_not_divide_are_settings() -> None:
    code = "assert (num_heads == 0) or (num_heads > 0 and self.hidden_size % num_heads == 0)"
    told = no_multiple("AssertionError", "onnxruntime", _traceback(code, ""))
    assert told is not None
    assert (told.code, "`hidden_size` to be a multiple of `num_heads`" in told.says) == ("settings-refused", True)
    assert no_multiple("AssertionError", "onnxruntime", _traceback("assert x.shape[0] % 8 == 0", "")) is None


@pytest.mark.parametrize(
    ("path", "message", "file"),
    [
        ("models/llava/processing_llava.py", "unsupported operand type(s) for //: 'int' and 'NoneType'",
         "processor_config.json"),
        ("models/vit/image_processing_vit.py", "'>' not supported between instances of 'int' and 'NoneType'",
         "preprocessor_config.json"),
        ("models/llava/modeling_llava.py", "unsupported operand type(s) for //: 'int' and 'NoneType'", None),
    ],
)  # fmt: skip
def test_a_setting_that_a_processor_does_not_have(path: str, message: str, file: str | None) -> None:
    before = _traceback("num_image_tokens = (height // self.patch_size) * (", message)
    told = nothing_for_a_setting("TypeError", path, message, before)
    assert (told is None) == (file is None)
    assert told is None or ("`patch_size`" in told.says and f" {file} " in told.says)


@pytest.mark.parametrize(
    ("code", "marks", "named"),
    [
        ("if args.max_steps > 0 and args.num_train_epochs > 0:", "   ^^^^^^^^^^^^^^^^^^", "`max_steps`"),
        ("if self.args.warmup_steps > 0:", "   ^^^^^^^^^^^^^^^^^^^^^^^^^^", "`warmup_steps`"),
        ("if args.max_steps > 0 and args.num_train_epochs > 0:", "", None),
        ("if state.step > 0:", "   ^^^^^^^^^^^^^^", None),
    ],
)
def test_a_setting_that_was_left_out_is_named(code: str, marks: str, named: str | None) -> None:
    message = "'>' not supported between instances of 'NoneType' and 'int'"
    before = _traceback(f"{code}\n    {marks}", message)
    told = nothing_for_a_setting("TypeError", "trainer.py", message, before)
    assert (told is None) == (named is None)
    assert told is None or (told.code == "settings-refused" and str(named) in told.says)


@pytest.mark.parametrize(
    ("path", "code", "named"),
    [
        ("peft/tuners/lora/layer.py", "if r <= 0:", "`r`"),
        ("torch/optim/adam.py", "if not 0.0 <= lr:", "`lr`"),
        ("transformers/training_args.py", "size = self.per_device_batch_size * max(1, self.n_gpu())", "device_batch"),
        ("transformers/models/llama/modeling_llama.py", "if x <= 0:", None),
    ],
)
def test_an_argument_that_was_left_out_is_named(path: str, code: str, named: str | None) -> None:
    message = "'<=' not supported between instances of 'NoneType' and 'int'"
    before = f'  File "/site-packages/{path}", line 9, in f\n    {code}\nTypeError: '
    told = nothing_for_a_setting("TypeError", path, message, before)
    assert (told is None) == (named is None)
    assert told is None or (told.code == "settings-refused" and str(named) in told.says)


@pytest.mark.parametrize(
    "message",
    [
        "expected str, bytes or os.PathLike object, not NoneType",
        "argument should be a str or an os.PathLike object where __fspath__ returns a str, not 'NoneType'",
    ],
)
def test_a_path_that_was_left_out_is_a_setting(message: str) -> None:
    told = no_path(message, "axolotl", "if Path(dataset_config.path).exists():")
    assert told is not None
    assert (told.code, "`dataset_config.path`" in told.says) == ("settings-refused", True)
    assert no_path(message, "axolotl", "return open(name)") is None
    own = '  File "/app/merge.py", line 4, in main\n    m = PeftModel.from_pretrained(m, a.adapter)\n'
    given = no_path(message, "peft", "os.path.join(model_id, CONFIG)", f"{own}{_traceback('x', '')}")
    assert given is not None
    assert "PeftModel.from_pretrained(m, a.adapter)" in given.says


def test_a_key_that_a_file_of_settings_lacks() -> None:
    code = 'params["username"] = self.config["hub"]["username"]'
    told = no_key("KeyError", "'username'", "autotrain", code)
    assert told is not None
    assert (told.code, "`hub: username`" in told.says) == ("settings-refused", True)
    assert no_key("KeyError", "'username'", "transformers", code) is None
    assert no_key("KeyError", "'other'", "autotrain", code) is None


def test_a_choice_that_a_table_of_the_library_lacks_is_a_setting() -> None:
    told = no_key("KeyError", "'mse9'", "ms-swift", "return loss_mapping[loss_type]")
    assert told is not None
    assert told.code == "settings-refused"
    assert "`mse9`" in told.says
    assert "`loss_type`" in told.says
    assert no_key("KeyError", "'mse9'", "ms-swift", 'return loss_mapping["mse9"]') is None
