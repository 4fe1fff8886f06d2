"""Answers whose code was right and whose words were not, as graders of the sixth set of whole logs found."""

from __future__ import annotations

import io

import pytest

from envpin.diagnose.logs.reader import Diagnosis, diagnose_log


def diagnose(text: str) -> Diagnosis:
    return diagnose_log(io.BytesIO(text.encode()))


_HUB = (
    "huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error.\n"
    "OSError: {name} is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'\n"
)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("checkpoints/reward_model", "no folder that is there"), ("./out", "no folder that is there"),
        ("outputs/run/checkpoint-40", "no folder that is there"), ("/srv/models/base", "no folder that is there"),
        ("meta-llama/Llama-3.1-8B", "no repository that this run could reach"),
        ("username/outputs-7b", "no repository that this run could reach"),
        ("your-username/model", "placeholder"), ("/path/to/model", "placeholder"),
        ("/content/drive/MyDrive/m", "another machine"),
    ],
)  # fmt: skip
def test_a_name_that_led_nowhere_is_told_once_and_by_what_it_is(name: str, says: str) -> None:
    (found,) = diagnose(_HUB.format(name=name)).findings
    assert says in found.message
    assert name in found.message
    assert found.severity == "blocker"  # the log ends with it


@pytest.mark.parametrize("name", ["${env:MODEL,gpt2}", "<model>", "{{ base_model }}", "path/to/the model"])
def test_a_placeholder_that_is_no_repository_id_is_called_one(name: str) -> None:
    refused = "Repo id must use alphanumeric chars, '-', '_' or '.'. The name cannot start or end with '-' or '.'"
    (found,) = diagnose(f"huggingface_hub.errors.HFValidationError: {refused}: '{name}'.\n").findings
    assert f"`{name}` is a placeholder" in found.message


def test_what_the_log_goes_on_after_only_warns() -> None:
    (found,) = diagnose(_HUB.format(name="a/b") + "step 1 done\n" * 20).findings
    assert found.severity == "warning"


def test_an_upload_that_is_refused_is_no_missing_base() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/v/lib/python3.11/site-packages/transformers/trainer.py", line 4267, in '
        "init_hf_repo\n    repo_url = hf_api().create_repo(repo_name, token=token)\n"
        '  File "/v/lib/python3.11/site-packages/huggingface_hub/hf_api.py", line 4781, in create_repo\n    raise err\n'
        "huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error.\n"
    )
    (found,) = diagnose(text).findings
    assert found.code == "settings-refused"
    assert "upload" in found.message


@pytest.mark.parametrize("member", ["config", "generate", "parameters"])
def test_a_config_in_place_of_a_model_is_no_fault_of_a_release(member: str) -> None:
    (found,) = diagnose(f"AttributeError: 'DistilBertConfig' object has no attribute '{member}'\n").findings
    assert found.code == "settings-refused"
    assert "where the model itself is wanted" in found.message


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ('tokenized["labels"] = [label2id[intent] for intent in examples["intent"]]', "looks up in `label2id`"),
        ('return {"label": self.labels[value]}', "looks up in `self.labels`"),
        ('return tokenizer(example["text"])', "no column `other`"),
        ("processing_class, example[dataset_text_field], chat_template=chat_template", "`messages`"),
    ],
)
def test_a_key_is_of_the_rows_or_of_a_table_by_what_is_looked_up_in(code: str, says: str) -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/v/lib/python3.11/site-packages/datasets/arrow_dataset.py", line 3398, in apply_function\n'
        "    processed_inputs = function(*fn_args, *additional_args, **fn_kwargs)\n"
        f"  File \"/home/u/train.py\", line 68, in prepare\n    {code}\n           ~~~~^^^^^^\nKeyError: 'other'\n"
    )
    (found,) = diagnose(text).findings
    assert found.code == "data-not-as-expected"
    assert says in " ".join((found.message, *found.fix))


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("inputs_embeds = self.word_embeddings(input_ids)", "larger than the model"),
        ("x = self.token_embed(input_ids)", "larger than the model"),
        ("token_type_embeddings = self.token_type_embeddings(token_type_ids)", "segments"),
        ("y = self.table(code)", "or a position beyond"),
    ],
)
def test_an_embedding_is_told_by_its_name(code: str, says: str) -> None:
    (found,) = diagnose(
        f'  File "/h/model.py", line 3, in forward\n    {code}\nIndexError: index out of range in self\n'
    ).findings
    assert says in found.message


def test_the_messages_of_a_row_have_other_fields() -> None:
    text = (
        '  File "/v/lib/python3.11/site-packages/datasets/arrow_dataset.py", line 3398, in apply_function\n'
        "    processed_inputs = function(*fn_args, *additional_args, **fn_kwargs)\n"
        '  File "/v/lib/python3.11/site-packages/llamafactory/data/converter.py", line 151, in __call__\n'
        "    and messages[0][self.dataset_attr.role_tag] == self.dataset_attr.system_tag\n"
        "        ~~~~~~~~~~~^^^^^^^^^^\nKeyError: 'from'\n"
    )
    (found,) = diagnose(text).findings
    assert "messages of the rows have no field `from`" in found.message


@pytest.mark.parametrize(
    ("family", "file"),
    [("t5", "spiece.model"), ("mbart", "sentencepiece.bpe.model"), ("deberta_v2", "spm.model"),
     ("llama", "tokenizer.model")],
)  # fmt: skip
def test_the_vocabulary_of_a_slow_tokenizer_has_the_name_of_its_family(family: str, file: str) -> None:
    frame = f'  File "/site-packages/transformers/models/{family}/tokenization_{family}.py", line 1, in f\n'
    (found,) = diagnose(f"{frame}    x()\nValueError: Either model_file or model_proto must be specified.\n").findings
    assert f"no {file}," in found.message


def test_a_part_of_a_package_is_installed_by_the_package_that_brings_it() -> None:
    code = '  File "/home/u/export.py", line 1, in <module>\n    from optimum.onnxruntime import ORTModel\n'
    (found,) = diagnose(f"{code}ModuleNotFoundError: No module named 'optimum'\n").findings
    assert "pip install optimum-onnx" in found.fix[0]


def test_a_script_that_refuses_its_arguments_is_quoted() -> None:
    text = (
        "usage: split_embedding_data.py [-h] --train-ratio N input output\n"
        "split_embedding_data.py: error: Split ratios must sum to 100.\n"
    )
    (found,) = diagnose(text).findings
    assert "Split ratios must sum to 100" in found.message


def test_layers_that_an_adapter_lacks_are_told_from_modules_that_were_not_trained() -> None:
    warns = "UserWarning: Found missing adapter keys while loading the checkpoint: ["
    layers = "'base_model.model.model.layers.1.self_attn.q_proj.lora_{}.default.weight'"
    modules = "'base_model.model.transformer.h.0.attn.c_proj.lora_{}.default.weight'"
    for name, says in ((layers, "whole layers"), (modules, "more than was trained")):
        (found,) = diagnose(f"{warns}{name.format('A')}, {name.format('B')}].\n").findings
        assert found.code == "adapter-tensors-missing"
        assert says in found.message


_LINEAR = (
    "RuntimeError: Error(s) in loading state_dict for Linear:\n\tsize mismatch for weight: copying a param with shape "
    "torch.Size([{}, 768]) from checkpoint, the shape in current model is torch.Size([{}, 768])."
)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("'PeftModelForCausalLM' object has no attribute 'merge_adapter'", "method-cannot-merge", "prompt"),
        ("'LlamaForCausalLM' object has no attribute 'unmerge_adapter'", "method-cannot-merge", "never wrapped"),
        ("Target modules .*visual\\.blocks.*qkv not found in the base model.", "vlm-key-rename", "`visual`"),
        ("Target modules .*vision_tower.*fc1 not found in the base model.", "vlm-key-rename", "`vision_tower`"),
        ("Qwen2Attention.forward() missing 1 required positional argument: 'position_embeddings'",
         "transformers-api-changed", "4.48"),
        (_LINEAR.format(1000, 10), "task-head", "1,000 labels"),
        (_LINEAR.format(21_843, 3), "task-head", "21,843 labels"),
    ],
)  # fmt: skip
def test_what_stands_in_the_line_is_what_the_answer_names(line: str, code: str, says: str) -> None:
    kind = {"Qwen2": "TypeError", "Targe": "ValueError", "Runti": ""}.get(line[:5], "AttributeError")
    (found,) = diagnose(f"{kind}: {line}" if kind else line).findings
    assert (found.code, says in found.message) == (code, True), found.message


EXAMPLE = "This example requires a source install from HuggingFace Transformers"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"ImportError: {EXAMPLE}, but the version found is 4.37.2.", "4.37.2 is installed"),
        ('ValueError: Unknown split "validation"', "no split `validation`"),
        ("ValueError: Unknown split \"validation\". Should be one of ['train'].", "it has: 'train'"),
    ],
)  # fmt: skip
def test_words_have_no_gap_where_a_line_leaves_a_part_out(line: str, said: str) -> None:
    log = f'Traceback (most recent call last):\n  File "/srv/train_lora.py", line 3, in <module>\n{line}\n'
    (found,) = diagnose_log(io.BytesIO(log.encode())).findings
    assert said in found.message
    assert "  " not in found.message
    assert not found.message.endswith((":", ": "))
