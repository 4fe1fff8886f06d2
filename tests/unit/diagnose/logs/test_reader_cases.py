"""Error logs of public threads (tests/data/cases/diagnose): the right cause, with its number, and no other."""

from __future__ import annotations

import io

import pytest

from envpin.diagnose.logs.reader import diagnose_log
from tests.support.places import DATA

CASES = DATA / "cases" / "diagnose"
# Case to its one code, and words that the answer must hold.
TABLE = {
    "lora_enable_lora": ("adapter-needs-older-peft", ["0.3.0"]),
    "size_classifier": ("task-head", ["6 labels", "num_labels=6", "ignore_mismatched_sizes=True", "replay merge"]),
    "chatglm_tokenizer434": ("config-needs-older-transformers", ["4.34"]),
    "L4-reverse-op": ("quantized-base-packed", ["--quantized-base dequantize"]),
    "L5-offload-keyerror": ("meta-tensor-offload", ["offload"]),
    "L8-adapter-named-lora": ("tensors-not-of-method", ["`lora`", "prefix"]),
    "L10-unsloth-lora-count": ("foreign-merge-incomplete", ["Unsloth", "unsloth_zoo", "envpin replay merge"]),
    "L11-no-vision-config": ("architecture-drift", ["text model", "vision_config"]),
    "P-oft": ("method-shape-mismatch", ["block size", "4·16 = 2·32"]),
    "real-no-post-init": ("transformers-api-changed", ["all_tied_weights_keys", "transformers < 5"]),
    "real-rope-default": ("transformers-api-changed", ["ROPE_INIT_FUNCTIONS", "5.0"]),
    "real-regex-target": ("vlm-key-rename", ["language_model", "ForConditionalGeneration"]),
}


def test_every_case_is_in_the_table() -> None:
    assert {one.name for one in CASES.iterdir()} == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_a_case_gets_its_one_cause(name: str) -> None:
    code, words = TABLE[name]
    found = diagnose_log(io.BytesIO((CASES / name / "error.log").read_bytes())).findings
    assert [one.code for one in found] == [code]
    said = " ".join([found[0].message, *found[0].fix])
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize("change", ["crlf", "utf-16", "mark"])
@pytest.mark.parametrize("name", TABLE)
def test_line_ends_and_encodings_change_no_answer(name: str, change: str) -> None:
    data = (CASES / name / "error.log").read_bytes()
    damaged = {
        "crlf": data.replace(b"\n", b"\r\n"),
        "utf-16": data.decode("utf-8").encode("utf-16"),
        "mark": b"\xef\xbb\xbf" + data,
    }[change]
    assert [one.code for one in diagnose_log(io.BytesIO(damaged)).findings] == [TABLE[name][0]]


SHAPES = [
    ("score.weight", [6, 768], [2, 768], "task-head"),
    ("base_model.model.classifier.modules_to_save.default.bias", [101], [1000], "task-head"),
    ("classifier.out_proj.weight", [3, 768], [2, 768], "task-head"),
    ("model.layers.0.self_attn.q_proj.oft_R.default.weight", [4, 120], [2, 496], "method-shape-mismatch"),
    ("model.layers.0.self_attn.q_proj.oft_R.default.weight", [4, 120], [8, 120], "wrong-base-hidden-size"),
    ("model.layers.0.self_attn.q_proj.hra_u", [64, 4], [64, 8], "method-shape-mismatch"),
    ("model.layers.0.self_attn.q_proj.hra_u", [64, 4], [128, 4], "wrong-base-hidden-size"),
    ("model.layers.0.self_attn.q_proj.vera_lambda_d", [128], [256], "method-shape-mismatch"),
    ("model.layers.0.self_attn.q_proj.vera_lambda_b", [4096], [5120], "wrong-base-hidden-size"),
    ("model.layers.0.self_attn.q_proj.ia3_l", [4096, 1], [5120, 1], "wrong-base-hidden-size"),
    ("model.layers.0.mlp.experts.gate_up_proj", [8, 64, 96], [8, 96, 64], "moe-layout"),
    ("vision_tower.vision_model.embeddings.position_embedding.weight", [577, 1024], [257, 1024], "architecture-drift"),
    ("model.embed_tokens.weight", [32001, 4096], [32000, 4096], "vocab-grown"),
    ("model.layers.0.self_attn.q_proj.lora_A.default.weight", [16, 4096], [8, 4096], "rank-mismatch"),
    ("base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight", [1024, 8], [4096, 8], "wrong-base-hidden-size"),
    ("base_model.model.model.layers.0.mlp.gate.weight", [128, 2048], [64, 2048], "wrong-base-hidden-size"),
    ("model.layers.0.self_attn.q_norm.weight", [128], [64], "architecture-drift"),
    ("model.layers.0.self_attn.q_proj.oft_r.default", [8, 512, 512], [32, 128, 128], "method-shape-mismatch"),
    ("base_model.model.model.embed_tokens.lora_embedding_A.default", [8, 32001], [8, 32000], "vocab-grown"),
    ("prompt_encoder.default.embedding.weight", [20, 4096], [8, 4096], "method-shape-mismatch"),
    ("prompt_encoder.default.embedding.weight", [30, 8192], [30, 2048], "wrong-base-hidden-size"),
    ("weight", [20, 4096], [8, 4096], "architecture-drift"),
    ("weight", [128258, 4096], [128256, 4096], "vocab-grown"),
    ("base_model.vera_A.default", [256, 4096], [256, 3072], "wrong-base-hidden-size"),
    ("transformer.h.0.mlp.c_fc.weight", [768, 3072], [3072, 768], "architecture-drift"),
    ("proj_out.weight", [51866, 1280], [51865, 1280], "vocab-grown"),
    ("down_blocks.0.proj_in.lora_A.default.weight", [8, 320, 1, 1], [8, 320], "wrong-base-hidden-size"),
]


@pytest.mark.parametrize(("parameter", "in_file", "in_model", "code"), SHAPES)
def test_a_size_mismatch_is_judged_by_the_role_of_its_module(
    parameter: str, in_file: list[int], in_model: list[int], code: str
) -> None:
    line = (
        f"\tsize mismatch for {parameter}: copying a param with shape torch.Size({in_file}) from checkpoint, the shape "
        f"in current model is torch.Size({in_model})."
    )
    assert [one.code for one in diagnose_log(io.BytesIO(line.encode())).findings] == [code]


@pytest.mark.parametrize(
    ("parameter", "in_file", "in_model", "says", "steps"),
    [
        ("base_model.model.a.lora_B.default.weight", [4096, 16], [4096, 8], "LoRA rank 16", "`r` to 16 in"),
        ("base_model.model.embed_tokens.lora_embedding_A.default", [8, 32001], [8, 32000], "more rows", "(32001)"),
        ("model.embed_tokens.weight", [128258, 64], [128256, 64], "size is 128258 in the checkpoint", "vocab_size"),
        ("base_model.model.mlp.experts.lora_A.default.weight", [256, 64], [1024, 64], "number of experts", "config"),
        ("model.layers.0.mlp.up_proj.weight", [512, 64], [256, 64], "intermediate size 512 (here 256)", "config.json"),
    ],
)
def test_the_numbers_of_a_size_mismatch_are_those_of_the_axis_that_differs(
    parameter: str, in_file: list[int], in_model: list[int], says: str, steps: str
) -> None:
    line = (
        f"\tsize mismatch for {parameter}: copying a param with shape torch.Size({in_file}) from checkpoint, the shape "
        f"in current model is torch.Size({in_model})."
    )
    (found,) = diagnose_log(io.BytesIO(line.encode())).findings
    assert says in found.message
    assert steps in " ".join(found.fix)
    assert "?" not in " ".join(found.fix)


@pytest.mark.parametrize(
    ("module", "rows", "code", "says"),
    [
        ("Embedding", (20, 8), "method-shape-mismatch", "20 virtual tokens"),
        ("Embedding", (512, 514), "architecture-drift", "another number of tokens, labels, positions"),
        ("Linear", (3, 2), "task-head", "3 labels in the checkpoint, and 2 in this model"),
        ("Linear", (64, 32), "architecture-drift", "A weight of Linear whose place the log does not name"),
    ],
)
def test_a_weight_without_a_name_is_judged_by_the_module_that_was_filled(
    module: str, rows: tuple[int, int], code: str, says: str
) -> None:
    text = (
        f"RuntimeError: Error(s) in loading state_dict for {module}:\n\tsize mismatch for weight: copying a param "
        f"with shape torch.Size([{rows[0]}, 768]) from checkpoint, the shape in current model is "
        f"torch.Size([{rows[1]}, 768])."
    )
    (found,) = diagnose_log(io.BytesIO(text.encode())).findings
    assert (found.code, says in found.message) == (code, True), found.message


def test_shared_tensors_are_a_tied_head_only_by_their_names() -> None:
    text = "RuntimeError: Some tensors share memory, this will lead to duplicate memory on disk: [{{'{0}', '{1}'}}]."
    tied = text.format("lm_head.weight", "model.embed_tokens.weight")
    other = text.format("encoder.layer.0.weight", "decoder.layer.0.weight")
    embeddings = text.format("model.encoder.embed_tokens.weight", "model.shared.weight")
    assert [one.code for one in diagnose_log(io.BytesIO(embeddings.encode())).findings] == ["shared-tensors"]
    assert [one.code for one in diagnose_log(io.BytesIO(tied.encode())).findings] == ["shared-tensors"]
    assert "head and embedding" in diagnose_log(io.BytesIO(tied.encode())).findings[0].message
    assert [one.code for one in diagnose_log(io.BytesIO(other.encode())).findings] == ["shared-tensors"]


@pytest.mark.parametrize(
    ("text", "code", "says", "step"),
    [
        ("tokenizers>=0.21,<0.22 is required for a normal functioning of this module, but found tokenizers==0.22.0.",
         "torch-companion-mismatch", "`tokenizers` 0.22.0 is installed",
         "pip install 'tokenizers>=0.21,<0.22'"),
        ("ValueError: Target modules (?=.*\\.(?:q|v)_proj)model\\..* not found in the base model.", "settings-refused",
         "matches the whole name of no module", "named_modules"),
        ("ValueError: Target modules {'c_attn'} not found in the base model.", "wrong-base-architecture",
         "no module called 'c_attn'", "all-linear"),
        ("OSError: You are trying to access a gated repo.", "base-not-found", "gated", "hf auth login"),
        ("are newly initialized: ['score.weight']", "task-head", "no `score`", "modules_to_save"),
        ("were not used when initializing LlamaForCausalLM: ['model.layers.0.q_proj.lora_A.weight']",
         "unmatched-adapter-keys", "saved as it was, without a merge", "replay merge"),
        ("RuntimeError: mat1 and mat2 must have the same dtype, but got BFloat16 and Float", "dtype-drift",
         "(BFloat16 and Float)", "autocast"),
        ("AttributeError: 'BatchEncoding' object has no attribute 'shape'", "transformers-api-changed",
         "from transformers 5.0 on", "return_dict=False"),
        ("TypeError: LlamaForCausalLM.__init__() got an unexpected keyword argument 'load_in_4bit'",
         "transformers-api-changed", "transformers 5.0", "BitsAndBytesConfig(load_in_4bit=True)"),
        ("RuntimeError: 'weight' must be 2-D", "settings-refused", "ZeRO-3", "wrapped model"),
        ("RuntimeError: Unsloth: # of LoRAs = 0 does not match # of saved modules = 224.", "foreign-merge-incomplete",
         "224 modules", "replay merge"),
    ],
)  # fmt: skip
def test_what_a_line_tells_is_said_in_its_own_words(text: str, code: str, says: str, step: str) -> None:
    (found,) = diagnose_log(io.BytesIO(text.encode())).findings
    assert (found.code, says in found.message, step in " ".join(found.fix)) == (code, True, True), found


def test_the_random_state_of_a_checkpoint_is_not_its_weights() -> None:
    last = (
        "_pickle.UnpicklingError: Weights only load failed. WeightsUnpickler error: Unsupported global: GLOBAL numpy.x"
    )
    frame = '  File "/srv/lib/transformers/trainer.py", line 3155, in _load_rng_state\n    torch.load(rng_file)\n'
    assert [one.code for one in diagnose_log(io.BytesIO(last.encode())).findings] == ["pickle-weights"]
    (found,) = diagnose_log(io.BytesIO((frame + last).encode())).findings
    assert (found.code, "4.47" in found.message) == ("transformers-api-changed", True)


@pytest.mark.parametrize(
    ("code", "trains", "says"),
    [
        ("position_embeds = self.wpe(position_ids)", False, "longer than the model has positions"),
        ("embeddings += self.position_embeddings(position_ids)", True, "longer than the model has positions"),
        ("inputs_embeds = self.embed_tokens(input_ids)", True, "a row of the data holds a token"),
        ("inputs_embeds = self.embed_tokens(input_ids)", False, "larger than the model (added tokens"),
    ],
)
def test_which_row_an_embedding_has_not_is_told_by_what_asked_for_it(code: str, trains: bool, says: str) -> None:
    first = "{'loss': 2.1}" if trains else ""
    log = (
        f"{first}\nTraceback (most recent call last):\n"
        f'  File "/x/site-packages/transformers/models/a/modeling_a.py", line 8, in forward\n    {code}\n'
        '  File "/x/site-packages/torch/nn/functional.py", line 2551, in embedding\n'
        "    return torch.embedding(weight, input, padding_idx, scale_grad_by_freq, sparse)\n"
        "IndexError: index out of range in self\n"
    )
    (found,) = diagnose_log(io.BytesIO(log.encode())).findings
    assert found.code == "index-out-of-range"
    assert says in found.message


_SITE = '  File "/x/site-packages/{}", line 3, in f\n    from a import b\n'


@pytest.mark.parametrize(
    ("frame", "line", "step"),
    [
        ("setfit/training_args.py",
         "ImportError: cannot import name 'default_logdir' from 'transformers.training_args'",
         "or a newer setfit, where one does without: python -m pip install -U setfit"),
        ("transformers/trainer.py",
         "TypeError: Accelerator.unwrap_model() got an unexpected keyword argument 'keep_torch_compile'",
         "or an older transformers: the code of this one asks for it"),
        ("trl/trainer/utils.py", "ImportError: cannot import name 'is_rubber_available' from 'transformers.utils'",
         "or take transformers and trl, which asks for it, of one time: python -m pip check"),
        ("lm_eval/models/hf_vlms.py", "AttributeError: module transformers has no attribute AutoModelForVision2Seq",
         "or a newer lm-eval, where one does without: python -m pip install -U lm-eval"),
    ],
)  # fmt: skip
def test_the_library_that_asks_for_a_name_is_named_with_it(frame: str, line: str, step: str) -> None:
    (found,) = diagnose_log(io.BytesIO(f"{_SITE.format(frame)}{line}\n".encode())).findings
    assert step in found.fix


def test_a_line_of_code_that_prints_a_message_is_not_the_message() -> None:
    code = '    raise ValueError(f"Can\'t find a valid checkpoint at {resume_from_checkpoint}")\n'
    log = f"{code}ValueError: Can't find a valid checkpoint at out/checkpoint-500\n"
    (found,) = diagnose_log(io.BytesIO(log.encode())).findings
    assert "`out/checkpoint-500`" in found.message


def test_a_head_that_begins_with_random_numbers_is_no_news_where_the_run_ended_otherwise() -> None:
    head = "Some weights of LlamaForSequenceClassification were not initialized from the model checkpoint at ./base "
    log = f"{head}and are newly initialized: ['score.weight']\ntorch.OutOfMemoryError: CUDA out of memory.\n"
    assert [one.code for one in diagnose_log(io.BytesIO(log.encode())).findings] == ["out-of-memory"]


def test_a_module_that_went_is_said_by_its_last_release() -> None:
    log = "ImportError: cannot import name 'deepspeed' from 'transformers' (/x/transformers/__init__.py)\n"
    (found,) = diagnose_log(io.BytesIO(log.encode())).findings
    assert "went with transformers 4.46" in found.message


def test_that_the_making_of_a_data_set_failed_is_said_only_where_nothing_tells_why() -> None:
    last = "datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset\n"
    first = (
        "datasets.arrow_writer.SchemaInferenceError: Please pass `features` or at least one example when writing data\n"
    )
    (alone,) = diagnose_log(io.BytesIO(last.encode())).findings
    (found,) = diagnose_log(io.BytesIO(f"{first}{last}".encode())).findings
    assert "the error before this one" in alone.message
    assert "no row came" in found.message


def test_a_name_that_a_script_asks_for_is_no_matter_of_the_library_that_called_it() -> None:
    log = (
        f"{_SITE.format('datasets/arrow_dataset.py')}"
        '  File "/home/me/main.py", line 15, in preprocess\n    with tokenizer.as_target_tokenizer():\n'
        '  File "/x/site-packages/transformers/tokenization_utils_base.py", line 1344, in __getattr__\n'
        "    raise AttributeError(name)\nAttributeError: T5Tokenizer has no attribute as_target_tokenizer\n"
    )
    (found,) = diagnose_log(io.BytesIO(log.encode())).findings
    assert "went with transformers 5.0" in found.message
    assert not any("datasets" in step for step in found.fix)
