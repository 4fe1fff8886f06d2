"""What a library raises itself, and what stops in its code: the last thing asked of a log."""

from __future__ import annotations

import io

import pytest

from envpin.diagnose.catalogue.catalogue import load_catalogue
from envpin.diagnose.logs.ending.raised import explain_raised
from envpin.diagnose.logs.ending.raised_words import quote, raised
from envpin.diagnose.logs.facts.messages import known_message, known_messages
from envpin.diagnose.logs.reader import diagnose_log

SITE = '  File "/srv/envs/vllm/lib/python3.12/site-packages/'
OWN = '  File "/srv/project/train.py", line 9, in main\n    main()\n'


def trl(function: str = "train", source: str = "    x = y[0]", file: str = "trainer/grpo_trainer.py") -> str:
    return f'{SITE}trl/{file}", line 3, in {function}\n{source}\n'


@pytest.mark.parametrize(
    "line", ["IndexError: list index out of range", "UnboundLocalError: cannot access local variable 'x'"]
)
def test_what_stops_in_a_library_is_its_fault(line: str) -> None:
    told = explain_raised(line, OWN + trl())
    assert told is not None
    assert told.code == "library-fault"
    assert "trl" in told.says
    assert "trainer/grpo_trainer.py" in told.says


def test_what_stops_in_a_script_is_not() -> None:
    assert explain_raised("IndexError: list index out of range", trl() + OWN) is None
    assert explain_raised("IndexError: list index out of range", "") is None


def test_the_folder_of_the_environment_is_no_library() -> None:
    frame = f'{SITE}pandas/core/frame.py", line 3, in __getitem__\n    raise KeyError(key)\n'
    assert explain_raised("KeyError: 'total'", frame) is None


def test_rows_that_stop_a_library_as_it_prepares_them_are_the_cause() -> None:
    told = explain_raised("KeyError: 'messages'", OWN + trl("tokenize_row", file="data_utils.py"))
    assert told is not None
    assert told.code == "data-not-as-expected"
    told = explain_raised("KeyError: 'messages'", trl(file="data_utils.py") + OWN)
    assert told is not None, "a function of the script, called to prepare rows"
    assert told.code == "data-not-as-expected"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("ValueError: `beta` cannot be used together with `loss_type`", "settings-refused"),
        ("ValueError: the chat template has no generation marks", "chat-template-missing"),
        ("ImportError: please install `rich` to print tables", "package-missing"),
        ("ValueError: the column `prompt` is missing from the dataset", "data-not-as-expected"),
    ],
)
def test_what_a_library_raises_is_told_by_its_words(line: str, code: str) -> None:
    told = explain_raised(line, OWN + trl("__init__", "    raise ValueError("))
    assert told is not None
    assert told.code == code


def test_a_refusal_without_frames_has_to_name_something_of_this_field() -> None:
    told = explain_raised("ValueError: Liger is not supported for Qwen3 model.", "")
    assert told is not None
    assert told.code == "settings-refused"
    assert explain_raised("ValueError: Coupons are not supported for this order.", "") is None


def test_code_that_a_library_wrote_and_that_does_not_parse_is_its_fault() -> None:
    told = explain_raised("SyntaxError: invalid syntax", "model.model.layers[0].experts.1.lora_A.default\n   ^^\n")
    assert told is not None
    assert told.code == "library-fault"
    assert explain_raised("SyntaxError: invalid syntax", "for x in y\n   ^^\n") is None


@pytest.mark.parametrize(
    ("module", "code"),
    [("mergekit", "package-missing"), ("nonesuch.parts", "package-missing"), ("trl.nonesuch", "library-api-changed"),
     ("vllm.nonesuch", "library-api-changed")],
)  # fmt: skip
def test_a_module_that_a_library_imports_is_missing_or_of_another_release(module: str, code: str) -> None:
    told = explain_raised(f"ModuleNotFoundError: No module named '{module}'", OWN + trl())
    assert told is not None
    assert told.code == code


def test_transformers_that_stops_at_a_config_is_of_another_time() -> None:
    frame = f'{SITE}transformers/modeling_rope_utils.py", line 3, in convert\n    x | y\n'
    told = explain_raised("TypeError: unsupported operand type(s) for |: 'list' and 'set'", frame)
    assert told is not None
    assert told.code == "transformers-api-changed"


def test_a_server_that_stops_in_its_code_of_lora_does_not_take_the_adapter() -> None:
    frame = f'{SITE}vllm/lora/ops/shrink.py", line 3, in _shrink\n    assert a == b\n'
    told = explain_raised("AssertionError", OWN + frame)
    assert told is not None
    assert told.code == "serving-limit"


def test_a_message_of_a_wheel_is_known_without_frames() -> None:
    found = known_message(
        "You passed `sync_ref_model=True` while `beta=0.0`, which means the reference model is not used"
    )
    assert found is not None
    assert (found.package, found.code) == ("trl", "settings-refused")
    assert known_message("the order of the customer is not used during the sale") is None


def test_every_known_message_has_a_code_of_the_catalogue() -> None:
    assert {one.code for some in known_messages().values() for one in some} <= load_catalogue().keys()
    assert len(known_messages()) > 4_000


def test_nothing_of_it_is_asked_where_something_else_is_known() -> None:
    log = f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n{OWN}{trl()}IndexError: no\n"
    assert [one.code for one in diagnose_log(io.BytesIO(log.encode())).findings] == ["out-of-memory"]


def test_the_first_error_of_a_log_counts() -> None:
    second = f"{OWN}{trl('f', '    raise E(')}ValueError: unknown `loss_type`\n"
    log = f"{OWN}{trl()}IndexError: no\n\nDuring handling:\n\n{second}"
    assert [one.code for one in diagnose_log(io.BytesIO(log.encode())).findings] == ["library-fault"]


@pytest.mark.parametrize(
    ("place", "line", "code"),
    [
        ("transformers/pipelines/audio_utils.py",
         "ValueError: ffmpeg was not found but is required to load audio files from filename", "package-missing"),
        ("transformers/data/datasets/language_modeling.py", "ValueError: Input file path ./a.txt not found",
         "data-not-as-expected"),
        ("transformers/trainer.py", "ValueError: Requires accelerate>1.3.0 to use Tensor Parallelism.",
         "torch-companion-mismatch"),
    ],
)  # fmt: skip
def test_a_judged_message_counts_before_place_and_words(place: str, line: str, code: str) -> None:
    told = explain_raised(line, f'{OWN}  File "/x/site-packages/{place}", line 3, in f\n    raise ValueError(\n{line}')
    assert told is not None
    assert told.code == code


@pytest.mark.parametrize(
    ("place", "raises", "line", "words"),
    [
        ("peft/tuners/lora/layer.py", True,
         "ValueError: `r` should be a positive integer value but the value passed is 0", "tuners/lora/layer.py"),
        ("transformers/integrations/liger.py", True,
         "ImportError: liger-kernel >= 0.3.0 is not available. Please install it with `pip install liger-kernel`",
         "python -m pip install -U liger-kernel"),
        ("sentence_transformers/trainer.py", True,
         "RuntimeError: you need to install the `accelerate` and `datasets` modules.", "accelerate datasets"),
        ("transformers/modeling_utils.py", True,
         "ImportError: the package for FlashAttention2 doesn't seem to be installed.", "flash-attn"),
        ("datasets/arrow_dataset.py", True, "ValueError: Column 'score' doesn't exist.", "column or field `score`"),
        ("datasets/formatting/formatting.py", False, "KeyError: 'rejected'", "column or field `rejected`"),
        ("datasets/formatting/formatting.py", False, "KeyError: None", "name is None"),
        ("datasets/dataset_dict.py", False, "KeyError: 'test'", "no split `test`"),
        ("trl/data_utils.py", True, "KeyError: \"Invalid keys in the example: {'chosen'}\"",
         "\"Invalid keys in the example: {'chosen'}\""),
        ("trl/trainer/dpo_trainer.py", False, "AttributeError: 'list' object has no attribute 'endswith'", "endswith"),
    ],
)  # fmt: skip
def test_what_is_raised_is_said_with_what_it_names(place: str, raises: bool, line: str, words: str) -> None:
    source = "    raise ValueError(" if raises else "    x = row[key]"
    told = explain_raised(line, f'{OWN}{SITE}{place}", line 3, in tokenize_row\n{source}\n{line}')
    assert told is not None
    assert words in " ".join((told.says, *told.fix))


def test_a_package_that_is_an_extra_of_the_one_that_asks_is_named_by_itself() -> None:
    line = (
        "ImportError: vLLM is not available and `use_vllm` is set to True. Please install with `pip install trl[vllm]`."
    )
    told = explain_raised(line, OWN + trl("__init__", "    raise ImportError("))
    assert told is not None
    assert told.code == "package-missing"
    assert "`vLLM`" in told.says


@pytest.mark.parametrize(
    ("source", "line", "code", "words"),
    [
        ("    df.drop('a', axis=1)\n" + SITE + 'pandas/core/generic.py", line 3, in drop\n    raise ValueError(',
         "ValueError: Cannot specify both 'axis' and 'index'/'columns'", "library-api-changed", "pandas 3 refuses"),
        ('    assert os.path.exists(args.lora_model), f"{args.lora_model} is not there"',
         "AssertionError: /x/whisper-r16 is not there", "adapter-not-found", "`args.lora_model`"),
        ("    assert os.path.isfile(data_path)", "AssertionError", "data-not-as-expected", "`data_path`"),
        ("    return json.load(open(path))", "json.decoder.JSONDecodeError: Extra data: line 2 column 1 (char 123)",
         "corrupt-header", "lines=True"),
        ("    rows = json.load(open(data_path))", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
         "data-not-as-expected", "does not begin as JSON"),
        ("    return json.load(open(path))", "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
         "corrupt-header", "does not begin as JSON"),
    ],
)  # fmt: skip
def test_what_a_script_of_this_field_stops_at(source: str, line: str, code: str, words: str) -> None:
    told = explain_raised(line, f'  File "/home/me/train_lora.py", line 9, in main\n{source}\n{line}')
    assert told is not None
    assert told.code == code
    assert words in " ".join((told.says, *told.fix))
    assert explain_raised(line, f'  File "/home/me/shop.py", line 9, in main\n{source}\n{line}') is None


def test_an_axis_that_every_pandas_refuses_is_no_matter_of_releases() -> None:
    line = "TypeError: Cannot specify both 'axis' and any of 'index' or 'columns'"
    frames = '  File "/home/me/train_lora.py", line 9, in main\n    df.rename(str, index=str, axis=1)\n'
    told = explain_raised(line, frames + SITE + 'pandas/core/generic.py", line 3, in _rename\n    raise TypeError(')
    assert told is None or "pandas 3" not in told.says


def test_a_converter_that_is_given_an_adapter_says_what_lacks() -> None:
    frame = '  File "/x/llama.cpp/convert_hf_to_gguf.py", line 468, in load_hparams\n    with open(p) as f:\n'
    told = explain_raised("FileNotFoundError: [Errno 2] No such file or directory: '/x/ll-r8/config.json'", frame)
    assert told is not None
    assert told.code == "base-not-found"


def test_a_script_s_own_check_is_no_library_s() -> None:
    before = '  File "/srv/train.py", line 3, in main\n    assert (\n'
    told = explain_raised("AssertionError: Please specify a --base_model, e.g. 'huggyllama/llama-7b'", before)
    assert told is not None
    assert "the program itself stops" in told.says
    assert "--base_model" in told.says


def test_a_file_of_data_that_a_library_does_not_find_is_named() -> None:
    told = explain_raised(
        "ValueError: Input file path ./training_data.txt not found",
        f'{SITE}transformers/data/datasets/language_modeling.py", line 60, in __init__\n    raise ValueError()\n',
    )
    assert told is not None
    assert told.says.startswith("the data file `./training_data.txt` is not there")


def test_labels_that_are_none_are_said_to_be_missing() -> None:
    told = explain_raised(
        "AttributeError: 'NoneType' object has no attribute 'float'",
        f'{SITE}sentence_transformers/losses/CosineSimilarityLoss.py", line 81, in forward\n'
        "    return self.loss_fct(output, labels.float().view(-1))\n",
    )
    assert told is not None
    assert "no labels" in told.says


def test_a_key_of_rope_settings_that_newer_configs_do_not_have_is_a_matter_of_transformers() -> None:
    told = explain_raised(
        "KeyError: 'factor'",
        f'{SITE}ctranslate2/converters/transformers.py", line 1670, in get_model_spec\n'
        '    rotary_scaling_factor = rope_scaling["factor"]\n',
    )
    assert told is not None
    assert told.code == "transformers-api-changed"


def test_a_message_keeps_the_quotes_inside_it() -> None:
    assert quote("'NoneType' object has no attribute 'float'") == "\"'NoneType' object has no attribute 'float'\""


def test_shapes_that_do_not_fit_in_a_model_are_of_its_inputs() -> None:
    place = "transformers/models/llama/modeling_llama.py"
    line = "RuntimeError: The size of tensor a (128) must match the size of tensor b (127) at non-singleton dimension 3"
    told = explain_raised(line, f'{OWN}  File "/x/site-packages/{place}", line 3, in forward\n    a = a + mask\n{line}')
    assert told is not None
    assert told.code == "inputs-do-not-fit"
    assert "(128)" in told.says


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("    return sum(scores) / len(scores)", "data-not-as-expected", "`len(scores)`"),
        ("    n = steps // args.gradient_accumulation_steps", "settings-refused", "`gradient_accumulation_steps`"),
    ],
)
def test_a_library_that_divides_by_nothing_has_no_rows_or_a_setting_of_0(source: str, code: str, words: str) -> None:
    line = "ZeroDivisionError: division by zero"
    told = explain_raised(line, f"{OWN}{trl(source=source)}{line}")
    assert told is not None
    assert (told.code, words in told.says) == (code, True)


@pytest.mark.parametrize(
    ("source", "line", "code", "words"),
    [
        ("    self.schedule = float(batch_size[1])", "ValueError: could not convert string to float: 'x'",
         "settings-refused", "`batch_size`"),
        ("    target = choice[test_target]", "IndexError: list index out of range", "data-not-as-expected", "choices"),
    ],
)  # fmt: skip
def test_a_library_that_reads_a_setting_or_an_answer_wrong_is_not_at_fault(
    source: str, line: str, code: str, words: str
) -> None:
    told = explain_raised(line, f'{OWN}{SITE}lm_eval/api/task.py", line 3, in __init__\n{source}\n{line}')
    assert told is not None
    assert (told.code, words in told.says) == (code, True)


@pytest.mark.parametrize(("shape", "taken", "given", "words"), [
    ("1, 128, 3000", 80, 128, "another Whisper"), ("4, 1, 224, 224", 3, 1, "grey"), ("2, 9, 8, 8", 4, 9, "4 channels"),
])  # fmt: skip
def test_inputs_of_other_channels_are_said_by_what_they_are(shape: str, taken: int, given: int, words: str) -> None:
    place = "transformers/models/whisper/modeling_whisper.py"
    line = (
        f"RuntimeError: Given groups=1, weight of size [384, {taken}, 3], expected input[{shape}] to have {taken} "
        f"channels, but got {given} channels instead"
    )
    told = explain_raised(line, f'{OWN}  File "/x/site-packages/{place}", line 3, in forward\n    x = conv(x)\n{line}')
    assert told is not None
    assert (told.code, words in told.says) == ("inputs-do-not-fit", True)


def test_a_report_that_is_asked_for_under_a_condition_makes_no_fault() -> None:
    message = "X takes no `way`. If you believe this error is a bug, please open an issue in the repository"
    assert raised("settings-refused", "transformers", "a.py", message).code == "settings-refused"
    assert raised("settings-refused", "transformers", "a.py", "X: please open an issue").code == "library-fault"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("model path './out/base' does not exist", "base-not-found"),
        ("path: '/models/run/checkpoint-10' not found", "base-not-found"),
        ("`mode` must be one of a, b", "settings-refused"),
    ],
)
def test_a_path_that_is_not_there_is_no_setting(message: str, code: str) -> None:
    assert raised("settings-refused", "axolotl", "utils/models.py", message).code == code


@pytest.mark.parametrize(
    ("frame", "line", "code", "said"),
    [
        ('datasets/features/audio.py", line 183, in decode_example\n    with xopen(path, "rb") as f:\n',
         "FileNotFoundError: [Errno 2] No such file or directory: 'a/T1.wav'", "data-not-as-expected", "a/T1.wav"),
        ('datasets/packaged_modules/json/json.py", line 86, in _generate_tables\n    d = d[self.config.field]\n',
         "TypeError: list indices must be integers or slices, not str", "data-not-as-expected", "datasets"),
        ('evaluate/utils/file_utils.py", line 508, in get_from_cache\n    raise ConnectionError(message)\n',
         "ConnectionError: Couldn't reach https://github.com/x/y/bleu.py (ConnectionError(MaxRetryError))",
         "data-not-as-expected", "https://github.com/x/y/bleu.py"),
        ('vllm/distributed/utils.py", line 5, in recv\n    return self.sock.recv(n)\n',
         "ConnectionResetError: [Errno 104] Connection reset by peer", "distributed-run-failed", "vllm"),
    ],
)  # fmt: skip
def test_what_a_library_did_not_find_is_named_by_what_it_is(frame: str, line: str, code: str, said: str) -> None:
    told = explain_raised(line, f"{OWN}{SITE}{frame}")
    assert told is not None
    assert told.code == code
    assert said in told.says


def test_a_notice_of_bitsandbytes_ends_no_run() -> None:
    notice = (
        "The installed version of bitsandbytes was compiled without GPU support. 8-bit optimizers are unavailable.\n"
    )
    log = f"{notice}Loading model\nModuleNotFoundError: No module named 'peft'\n"
    assert [one.code for one in diagnose_log(io.BytesIO(log.encode())).findings] == ["package-missing"]
    assert [one.code for one in diagnose_log(io.BytesIO(notice.encode())).findings] == ["torch-companion-mismatch"]


def test_an_argument_that_a_script_gives_is_no_adapters() -> None:
    line = "TypeError: LoraConfig.__init__() got an unexpected keyword argument 'use_dora'\n"
    trace = f"Traceback (most recent call last):\n{OWN}"
    loads = f'{trace}{SITE}peft/config.py", line 134, in from_peft_type\n    return config_cls(**kwargs)\n'
    (script,) = diagnose_log(io.BytesIO(f"{trace}{line}".encode())).findings
    (loaded,) = diagnose_log(io.BytesIO(f"{loads}{line}".encode())).findings
    assert (script.code, loaded.code) == ("library-api-changed", "adapter-needs-newer-peft")
