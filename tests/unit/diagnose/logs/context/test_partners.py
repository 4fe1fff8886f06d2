"""Stops in a library's own code that its file or line lays to another package, to rows, or to the model's own code."""

from __future__ import annotations

import pytest

from tests.support.logs import diagnose

FRAME = '  File "{}", line 3, in forward\n    {}\n'


@pytest.mark.parametrize(
    ("place", "source", "line", "code", "words"),
    [
        ("transformers/integrations/bitsandbytes.py", 'devices.discard("cpu")',
         "AttributeError: 'frozenset' object has no attribute 'discard'", "library-api-changed", "bitsandbytes"),
        ("transformers/integrations/awq.py", "module.scales[0]", "TypeError: 'NoneType' object is not subscriptable",
         "library-api-changed", "autoawq"),
        ("peft/peft_model.py", 'if kwargs["past_key_values"][0][0].shape[-2] > 1:',
         "AttributeError: 'NoneType' object has no attribute 'shape'", "peft-transformers-incompatible", "the cache"),
        ("span_marker/modeling.py", "self.head = nn.Linear(8, self.config.num_labels)",
         "TypeError: empty(): argument 'size' must be tuple of ints", "transformers-api-changed", "a config"),
        ("sentence_transformers/losses/SoftmaxLoss.py", "rep_a, rep_b = reps",
         "ValueError: not enough values to unpack (expected 2, got 1)", "data-not-as-expected", "`SoftmaxLoss`"),
        ("sentence_transformers/losses/CoSENTLoss.py", "embeddings[1]", "IndexError: list index out of range",
         "data-not-as-expected", "`CoSENTLoss`"),
        ("onnxruntime/quantization/quant_utils.py", "onnx_proto.TensorProto.INT4: int4,",
         "AttributeError: INT4. Did you mean: 'INT64'?", "library-api-changed", "`INT4` from onnx"),
        ("optimum/exporters/onnx/base.py", "onnx.helper.float32_to_bfloat16(x)",
         "AttributeError: module 'onnx.helper' has no attribute 'float32_to_bfloat16'", "library-api-changed", "onnx"),
        ("setfit/trainer.py", "x = rows[0]", "IndexError: list index out of range", "library-fault",
         "or of another transformers"),
    ],
)  # fmt: skip
def test_a_stop_in_a_librarys_code(place: str, source: str, line: str, code: str, words: str) -> None:
    (found,) = diagnose(f"{FRAME.format(f'/x/site-packages/{place}', source)}{line}\n").findings
    assert found.code == code
    assert words in found.message


def test_code_of_the_model_that_asks_its_config_is_of_another_transformers() -> None:
    own = FRAME.format(
        "/home/me/.cache/huggingface/modules/transformers_modules/m/modeling_chatglm.py", "config.max_length"
    )
    reads = FRAME.format("/x/site-packages/transformers/configuration_utils.py", "return get(key)")
    reads = reads.replace("in forward", "in __getattribute__")
    (found,) = diagnose(f"{own}{reads}AttributeError: 'ChatGLMConfig' object has no attribute 'max_length'\n").findings
    assert found.code == "transformers-api-changed"
    assert "`modeling_chatglm.py`" in found.message


def test_a_model_made_from_the_config_of_another_type_is_what_stops_it() -> None:
    warned = "You are using a model of type clip to instantiate a model of type whisper. This is not supported.\n"
    frame = FRAME.format("/x/site-packages/transformers/models/whisper/modeling_whisper.py", "raise ValueError(")
    line = "ValueError: embed_dim must be divisible by num_heads (got `embed_dim`: 64 and `num_heads`: 6)."
    (found,) = diagnose(f"{warned}{frame}{line}\n").findings
    assert (found.code, found.severity) == ("model-of-another-kind", "blocker")
    assert "`whisper`" in found.message


def test_fields_that_peft_ignores_name_the_release_that_has_them() -> None:
    fields = "['corda_config', 'qalora_group_size']"
    line = f"UserWarning: Unexpected keyword arguments {fields} for class LoraConfig, these are ignored."
    (found,) = diagnose(f"{line}\n").findings
    assert "2 fields" in found.message
    assert "`qalora_group_size` came with peft 0.16" in found.message


def test_an_adapter_config_in_a_folder_of_whole_weights_is_told_from_a_folder_that_is_not_there() -> None:
    frame = FRAME.format("/x/site-packages/transformers/integrations/peft.py", "weights = load_peft_weights(folder)")
    line = "HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/m/x'."
    (found,) = diagnose(f"{frame.replace('in forward', 'in load_adapter')}{line}\n").findings
    (other,) = diagnose(f"{line}\n").findings
    assert (found.code, other.code) == ("adapter-files-in-merged", "base-not-found")


CALLS = "cls(config, *model_args, **model_kwargs)"
NOT_KNOWN = "Value error, The checkpoint you are trying to load has model type `glm4v_moe` but Transformers does not "


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        (FRAME.format("/x/site-packages/transformers/modeling_utils.py", f"model = {CALLS}")
         + "TypeError: __init__() got an unexpected keyword argument 'tuning_mode'", "transformers-api-changed",
         "from_pretrained was given `tuning_mode`"),
        (FRAME.format("/x/site-packages/transformers/trainer.py", "self.get_batch_samples(a, b, c)")
         + "TypeError: _unsloth_get_batch_samples() takes 3 positional arguments but 4 were given",
         "library-api-changed", "unsloth put"),
        ("AttributeError: module transformers.models has no attribute gemma3_text", "transformers-api-changed",
         "from 4.50.0 on"),
        ("ERROR:root:Model type qwen2_5_vl not supported.\n"
         + FRAME.format("/x/site-packages/mlx_vlm/utils.py", "import_module(name)"), "library-api-changed",
         "the mlx-vlm that ran"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB.", "out-of-memory", "the GPU"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 2 GiB", "out-of-memory", "the process"),
        (f"ValidationError: 1 validation error for ModelConfig\n  {NOT_KNOWN}recognize this architecture.",
         "config-needs-newer-transformers", "`glm4v_moe`"),
    ],
)  # fmt: skip
def test_a_text_of_a_tracker_is_said_in_words_that_are_true_of_it(log: str, code: str, words: str) -> None:
    (found,) = diagnose(f"{log}\n").findings
    assert found.code == code
    assert words in found.message
