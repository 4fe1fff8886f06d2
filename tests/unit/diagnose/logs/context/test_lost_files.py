"""Files and folders of models that are not there, or are not what their names say."""

from __future__ import annotations

import io

import pytest

from envpin.diagnose.logs.context.lost_files import lost_by_library, lost_by_script, said_to_be_lost, went_on_without
from envpin.diagnose.logs.reader import diagnose_log

SITE = '  File "/srv/env/lib/python3.11/site-packages/'
OWN = 'Traceback (most recent call last):\n  File "/home/user/project/merge.py", line 9, in <module>\n'


def codes(text: str) -> list[str]:
    return [one.code for one in diagnose_log(io.BytesIO(text.encode())).findings]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("Error: adapter directory './outputs/qwen-lora' does not exist. Run train.py first.", "adapter-not-found"),
        ("[ERROR] 未找到 LoRA 权重目录 ./lora_output，请先运行训练脚本", "adapter-not-found"),
        ("找不到适配器: ./checkpoints/lora/adapter_config.json", "adapter-not-found"),
        ("PEFT adapter not found at: ./results/final_adapter", "adapter-not-found"),
        ("错误: 模型路径不存在: ./saved_model", "base-not-found"),
        ("❌ Model not found at ./fine_tuned_model. Please run training first!", "base-not-found"),
        ("[!] No checkpoint found in ./results", "base-not-found"),
        ("The path /data/models/llama does not exist or is not a directory", "base-not-found"),
        ("No model weights found in: './base'", "base-not-found"),
        ("❌ tokenizer.json not found in ./model, run save_tokenizer first", "tokenizer-missing"),
        ("❌ Dataset file not found: data/train.jsonl", "data-not-as-expected"),
    ],
)
def test_what_a_script_says_at_its_end_is_not_there_is_the_cause(line: str, code: str) -> None:
    lost = said_to_be_lost(line)
    assert lost is not None
    assert lost.code == code
    assert codes(f"[1/3] starting\n{line}\n") == [code]


@pytest.mark.parametrize(
    "line",
    [
        "Model not found: Car",
        "checkpoint ./run/last not found, training from scratch",
        "ModuleNotFoundError: No module named 'lora_model'",
        "Column price not found in ./data/model.csv",
        "bash: ./model: command not found",
        "404 page /models/lora not found",
        "No adapter found: network card",
        "django.db.models.Model does not exist",
    ],
)
def test_what_may_be_of_another_field_is_not(line: str) -> None:
    assert said_to_be_lost(line) is None


def test_a_run_that_goes_on_for_long_did_not_end_there() -> None:
    said = "Checkpoint ./out/adapter_model.bin not found\n"
    assert codes(said) == ["adapter-not-found"]
    assert codes(said + "step\n" * 40) == []


@pytest.mark.parametrize(
    ("exception", "message", "code"),
    [
        ("FileNotFoundError", "Base model not found at models/base. Please download it first.", "base-not-found"),
        ("FileNotFoundError", "[Errno 2] No such file or directory: './models/llama-lora'", "adapter-not-found"),
        ("FileNotFoundError", "No such file or directory: ./lora/adapters.safetensors", "adapter-not-found"),
        ("FileNotFoundError", "[Errno 2] No such file or directory: './checkpoints/best_model.pt'", "base-not-found"),
        ("AssertionError", "checkpoint ./output/checkpoint-500 does not exist", "base-not-found"),
        ("ValueError", "Can't find a checkpoint in ./output. Please pass a valid --model_path", "base-not-found"),
        ("OSError", 'Not found: "./models/tokenizer.model": No such file or directory Error #2', "tokenizer-missing"),
    ],
)
def test_what_a_script_raises_tells_what_it_did_not_find(exception: str, message: str, code: str) -> None:
    lost = lost_by_script(exception, message, "")
    assert lost is not None
    assert lost.code == code


@pytest.mark.parametrize("path", ["/nonexistent/config.json", "/nonexistent/model-00001.bin", "notes.txt", "/srv/app"])
def test_a_file_of_any_field_tells_nothing(path: str) -> None:
    assert lost_by_script("FileNotFoundError", f"[Errno 2] No such file or directory: '{path}'", "") is None


@pytest.mark.parametrize(
    ("source", "error", "code"),
    [
        ("    assert os.path.isdir(MODEL_PATH)\n", "AssertionError", "base-not-found"),
        ('    last = sorted(glob.glob("./output/checkpoint-*"))[-1]\n', "IndexError: list index out of range",
         "base-not-found"),
        ('    last = max(glob.glob("out/checkpoint-*"))\n', "ValueError: max() arg is an empty sequence",
         "base-not-found"),
    ],
)  # fmt: skip
def test_the_line_of_code_tells_what_was_looked_for(source: str, error: str, code: str) -> None:
    assert codes(f"{OWN}{source}{error}\n") == [code]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("./lora/trainer_state.json", "missing-shard"), ("./base/model.safetensors", "missing-shard"),
        ("./lora/adapter_model.bin", "adapter-not-found"), ("./base/vocab.json", "tokenizer-missing"),
    ],
)  # fmt: skip
def test_the_name_of_a_file_tells_what_a_library_misses(path: str, code: str) -> None:
    told = lost_by_library("FileNotFoundError", f"[Errno 2] No such file or directory: '{path}'", "transformers")
    assert told is not None
    assert told.code == code
    assert path in told.says
    assert any(step.endswith(path.rpartition("/")[0]) for step in told.fix)


REPO = (
    f'{SITE}huggingface_hub/utils/_validators.py", line 106, in _inner_fn\n    validate_repo_id(arg_value)\n'
    "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': "
    "'/root/output/lora'. Use `repo_type` argument if needed.\n"
)


def test_who_looks_for_a_folder_tells_what_it_should_hold() -> None:
    peft = f'{OWN}{SITE}peft/config.py", line 197, in _get_peft_type\n    config_file = hf_hub_download(\n'
    model = f'{OWN}{SITE}transformers/utils/hub.py", line 398, in cached_file\n    resolved_file = hf_hub_download(\n'
    assert codes(peft + REPO) == ["adapter-not-found"]
    assert codes(model + REPO) == ["base-not-found"]
    assert codes("failed to load adapter: " + REPO.rpartition("HFValidationError: ")[2]) == ["adapter-not-found"]


def test_half_an_adapter_is_not_said_to_have_no_config() -> None:
    peft = f'{OWN}{SITE}peft/utils/save_and_load.py", line 310, in load_peft_weights\n    filename = hf_hub_download(\n'
    (found,) = diagnose_log(io.BytesIO((peft + REPO).encode())).findings
    assert found.code == "adapter-not-found"
    assert "no adapter_model.safetensors" in found.message


def test_an_empty_path_is_told_as_such() -> None:
    line = "OSError: Repo id must use alphanumeric chars, '-', '_' or '.', and the maximum length is 96: ''."
    (found,) = diagnose_log(io.BytesIO(f"{line}\n".encode())).findings
    assert "an empty path" in found.message


def test_a_folder_without_config_may_lack_a_tokenizer_or_a_model() -> None:
    text = (
        f'{OWN}{SITE}transformers/models/auto/tokenization_auto.py", line 837, in from_pretrained\n'
        f"    config = AutoConfig.from_pretrained(\n"
        f'{SITE}transformers/utils/hub.py", line 369, in cached_file\n    raise EnvironmentError(\n'
        "OSError: ./lora does not appear to have a file named config.json.\n"
    )
    assert codes(text) == ["base-not-found", "tokenizer-missing"]
    lost = "OSError: We couldn't connect to 'https://huggingface.co' to load this file, couldn't find it in the cached "
    lost += "files and it looks like a/b is not the path to a directory containing a file named config.json.\n"
    assert codes(text.rpartition("OSError")[0] + lost) == ["base-not-found"]


@pytest.mark.parametrize(
    "message", ["Expecting value: line 1 column 1 (char 0)", "Unterminated string: line 3 column 1"]
)
def test_json_that_is_none_is_no_setting_and_no_data(message: str) -> None:
    decoder = '  File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode\n    raise JSONDecodeError(\n'
    for file in ("transformers/models/gpt2/tokenization_gpt2.py", "transformers/trainer_callback.py", "peft/config.py"):
        frame = f'{OWN}{SITE}{file}", line 5, in load\n    json.load(handle)\n'
        assert codes(f"{frame}{decoder}json.decoder.JSONDecodeError: {message}\n") == ["corrupt-header"]


def test_a_file_that_is_no_pickle_is_not_said_to_be_one() -> None:
    text = "_pickle.UnpicklingError: Weights only load failed.\nWeightsUnpickler error:\n\nUnsupported operand {}\n"
    assert codes(text.format(118)) == ["lfs-pointer"]
    assert codes(text.format(60)) == ["html-instead-of-weights"]
    assert codes(text.format(0)) == ["corrupt-header"]


def test_where_torch_stops_as_it_unpickles_the_file_is_none() -> None:
    load = f'{OWN}{SITE}transformers/modeling_utils.py", line 5, in load\n    torch.load(file)\n'
    stop = f'{SITE}torch/_weights_only_unpickler.py", line 574, in pop_mark\n    self.stack = self.metastack.pop()\n'
    assert codes(f"{load}{stop}IndexError: pop from empty list\n") == ["corrupt-header"]


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ("[ERROR] model.safetensors not found in outputs/merged", "missing-shard", "outputs/merged/model.safetensors"),
        ("Error: could not find adapter_model.safetensors in ./lora-out", "adapter-not-found",
         "./lora-out/adapter_model.safetensors"),
        ("OSError: No tokenizer.json found in models/base", "tokenizer-missing", "models/base/tokenizer.json"),
        ("[ERROR] model.safetensors.index.json is missing from the folder /data/qwen2.5-7b", "missing-shard",
         "/data/qwen2.5-7b/model.safetensors.index.json"),
        ("ERROR: config.json not found in ./merged_model", "base-not-found", "./merged_model/config.json"),
    ],
)  # fmt: skip
def test_a_file_that_is_missed_in_a_folder_is_no_missing_folder(text: str, code: str, path: str) -> None:
    (found,) = diagnose_log(io.BytesIO(f"{text}\n".encode())).findings
    assert found.code == code
    assert f"`{path}`" in found.message


@pytest.mark.parametrize(
    "text",
    [
        "WARNUNG: Kein SFT-Adapter gefunden. Erzeuge frische LoRA-Adapter fuer DPO.",
        "No SFT adapter found, starting DPO from the base model",
        "SFT adapter not found. Creating fresh LoRA",
        "[WARN] No SFT adapter found at outputs/sft, starting DPO from base model",
    ],
)
def test_the_adapter_of_a_stage_before_is_missed_though_the_run_goes_on(text: str) -> None:
    lost = went_on_without(text)
    assert lost is not None
    assert lost.code == "adapter-not-found"


@pytest.mark.parametrize(
    "text",
    [
        "No adapter found, creating a new LoRA adapter",
        "No checkpoint found, training from scratch",
        "No SFT adapter found in the registry",
    ],
)
def test_a_first_training_misses_no_adapter(text: str) -> None:
    assert went_on_without(text) is None
