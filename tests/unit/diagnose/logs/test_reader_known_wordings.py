"""Every wording that our notes of boundaries and causes hold, as the libraries print it, gets its code."""

from __future__ import annotations

import io
import itertools

import pytest

from envpin.diagnose.logs.reader import diagnose_log

FOUND_MISSING = "UserWarning: Found missing adapter keys while loading the checkpoint: "
SIZE = (
    "size mismatch for base_model.model.{}: copying a param with shape torch.Size({}) from checkpoint, "
    "the shape in current model is torch.Size({})."
)
HEADER = "Error while deserializing header: "
REQUIRED = "ImportError: {} is required for a normal functioning of this module, but found {}."

# What a release of one library says beside a release of another.
VERSIONS = """
rope-config-unreadable | `rope_scaling` must be a dictionary with two fields, `type` and `factor`, got {'factor': 8.0, 'rope_type': 'llama3'}
rope-config-unreadable | `rope_scaling` must be a dictionary with with two fields, `type` and `factor`, got {'factor': 8.0, 'rope_type': 'llama3'}
rope-config-unreadable | ValueError: `rope_scaling` must be a dictionary with with two fields, `name` and `factor`, got {'rope_type': 'llama3'}
config-needs-newer-transformers | KeyError: 'qwen2'
config-needs-newer-transformers | The checkpoint you are trying to load has model type `qwen3` but Transformers does not recognize this architecture
config-needs-newer-transformers | The checkpoint you are trying to load has model type `X` but Transformers does not recognize this architecture
peft-transformers-incompatible | ImportError: cannot import name 'EncoderDecoderCache' from 'transformers'
peft-transformers-incompatible | ImportError: cannot import name 'HybridCache' from 'transformers'
peft-transformers-incompatible | ImportError: cannot import name 'HybridCache' from 'transformers' (/opt/venv/lib/python3.11/site-packages/transformers/__init__.py)
peft-transformers-incompatible | ModuleNotFoundError: No module named 'transformers.modeling_layers'
peft-transformers-incompatible | No module named 'transformers.modeling_layers'
adapter-needs-newer-peft | TypeError: LoraConfig.__init__() got an unexpected keyword argument 'eva_config'
adapter-needs-newer-peft | TypeError: LoraConfig.__init__() got an unexpected keyword argument 'corda_config'
adapter-needs-newer-peft | TypeError: LoraConfig.__init__() got an unexpected keyword argument 'trainable_token_indices'
adapter-needs-newer-peft | TypeError: LoraConfig.__init__() got an unexpected keyword argument 'exclude_modules'
adapter-needs-newer-peft | TypeError: __init__() got an unexpected keyword argument 'lora_bias'
torch-too-old-for-bin | Due to a serious vulnerability issue in `torch.load`, even with `weights_only=True`
torch-too-old-for-bin | ValueError: Due to a serious vulnerability issue in `torch.load` …
transformers-api-changed | ImportError: cannot import name 'LlamaFlashAttention2' from 'transformers.models.llama.modeling_llama'
transformers-api-changed | 'DynamicCache' object has no attribute 'get_max_length'
tokenizer-needs-newer | Exception: data did not match any variant of untagged enum ModelWrapper at line 1 column 2
tokenizer-needs-newer | data did not match any variant of untagged enum ModelWrapper
tokenizer-needs-newer | Tokenizer class TokenizersBackend does not exist
tokenizer-needs-newer | ValueError: Tokenizer class TokenizersBackend does not exist or is not currently imported.
numpy-abi | RuntimeError: Numpy is not available
numpy-abi | Numpy is not available
torch-companion-mismatch | operator torchvision::nms does not exist
torch-companion-mismatch | RuntimeError: operator torchvision::nms does not exist
peft-transformers-incompatible | ERROR: No matching distribution found for peft==0.18.2
peft-transformers-incompatible | Because there is no version of peft==0.18.2 and you require peft==0.18.2, we can conclude that your requirements are unsatisfiable.
peft-transformers-incompatible | ValueError: The version of PEFT you are using is not compatible, please use a version that is greater than 0.18.2
peft-transformers-incompatible | ValueError: The version of PEFT you are using is not compatible, please use a version >= 0.18.2
torch-companion-mismatch | importlib.metadata.PackageNotFoundError: The 'tokenizers>=0.19,<0.20' distribution was not found and is required by this application.
torch-companion-mismatch | Disabling PyTorch because PyTorch >= 2.6 is required but found 2.5.1
torch-companion-mismatch | transformers 4.57.6 requires huggingface-hub<1.0,>=0.34.0, but you have huggingface-hub 1.2.1 which is incompatible.
""".strip().splitlines()

# (the package with the range that transformers wants, what is installed): `transformers.utils.versions.require_version`.
RANGES = [
    ("torch-companion-mismatch", "tokenizers>=0.19,<0.20", "tokenizers==0.20.1"),
    ("torch-companion-mismatch", "tokenizers>=0.20,<0.21", "tokenizers==0.21.0"),
    ("torch-companion-mismatch", "tokenizers>=0.21,<0.22", "tokenizers==0.19.1"),
    ("torch-companion-mismatch", "tokenizers>=0.22.0,<=0.23.0", "tokenizers==0.21.4"),
    ("torch-companion-mismatch", "tokenizers>=0.23.1,<0.24", "tokenizers==0.22.2"),
    ("torch-companion-mismatch", "tokenizers>=0.11.1,!=0.11.3,<0.14", "tokenizers==0.14.1"),
    ("torch-companion-mismatch", "huggingface-hub>=0.30.0,<1.0", "huggingface-hub==1.0.1"),
    ("torch-companion-mismatch", "huggingface-hub>=1.3.0,<2.0", "huggingface-hub==0.36.0"),
    ("torch-companion-mismatch", "safetensors>=0.4.3", "safetensors==0.3.1"),
    ("torch-companion-mismatch", "accelerate>=0.26.0", "accelerate==0.20.3"),
    ("torch-companion-mismatch", "numpy>=1.17", "numpy==1.16.6"),
    ("numpy-abi", "numpy>=1.17,<2.0", "numpy==2.4.6"),
]

# safetensors' two families, 0.4 and 0.8, and what torch says of other files.
FILES = [
    ("corrupt-header", "HeaderTooLarge", "header too large"),
    ("truncated-file", "MetadataIncompleteBuffer", "incomplete metadata, file not fully covered"),
    ("truncated-file", "InvalidHeaderLength", "invalid header length"),
    ("truncated-file", "HeaderTooSmall", "header too small"),
    ("corrupt-header", "InvalidHeaderDeserialization", "invalid JSON in header"),
    ("lfs-pointer", "_pickle.UnpicklingError: invalid load key, 'v'.", "invalid load key, 'v'."),
    ("html-instead-of-weights", "_pickle.UnpicklingError: invalid load key, '<'.", "invalid load key, '<'."),
]  # fmt: skip

# Names and sentences of peft and transformers.
NAMES = [
    ("unmatched-adapter-keys", FOUND_MISSING + "[…]"),
    ("unmatched-adapter-keys", FOUND_MISSING + "['base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight']."),
    ("vlm-key-rename", FOUND_MISSING + "['base_model.model.model.language_model.layers.0.mlp.up_proj.lora_A.default.weight']."),
    ("vlm-key-rename", FOUND_MISSING + "['base_model.model.language_model.model.layers.0.mlp.up_proj.lora_A.default.weight']."),
    ("moe-layout", FOUND_MISSING + "['base_model.model.model.layers.0.mlp.experts.0.up_proj.lora_A.default.weight']."),
    ("moe-layout", FOUND_MISSING + "['base_model.model.model.layers.0.mlp.experts.base_layer.lora_A.default.weight']."),
    ("compile-prefix", "\tUnexpected key(s) in state_dict: \"_orig_mod.model.embed_tokens.weight\"."),
    ("fsdp-prefix", "\tUnexpected key(s) in state_dict: \"_fsdp_wrapped_module.model.embed_tokens.weight\"."),
    ("fsdp-prefix", "\tMissing key(s) in state_dict: \"module.model.embed_tokens.weight\"."),
    ("wrong-base-architecture", "ValueError: Target modules {'q_proj', 'v_proj'} not found in the base model."),
    ("vocab-rows-not-saved", "will assume that the vocabulary was not modified"),
    ("vocab-rows-not-saved", "UserWarning: Could not find a config file in org/base - will assume that the vocabulary was not modified."),
    ("architecture-drift", "You set `ignore_mismatched_sizes` to False … look at the above report"),
    ("architecture-drift", "You set `ignore_mismatched_sizes` to `False`, thus raising an error. For details look at the above report!"),
    ("quantized-base-unmergeable", "ValueError: Cannot merge LORA layers when the model is gptq quantized"),
    ("quantized-base-unmergeable", "ValueError: Cannot merge LORA layers when the model is awq quantized"),
    ("tied-head", "UserWarning: Model with `tie_word_embeddings=True` and the tied_target_modules=['lm_head'] are part of the adapter."),
    ("adapter-already-merged", "UserWarning: Already following adapters were merged default. You are now additionally merging other."),
    ("adapter-needs-newer-peft", "UserWarning: Unexpected keyword arguments ['eva_config'] for class LoraConfig, these are ignored."),
    ("base-not-found", "OSError: ./merged does not appear to have a file named config.json."),
    ("output-exists", "ValueError: Output directory (./out) already exists and is not empty. Use --overwrite_output_dir to overcome."),
]  # fmt: skip

SHAPES = [
    ("vocab-grown", "model.embed_tokens.weight", [32001, 4096], [32000, 4096]),
    ("vocab-shrunk-padded", "lm_head.weight", [151665, 3584], [152064, 3584]),
    ("padding-mismatch", "model.embed_tokens.weight", [321, 64], [384, 64]),
    ("empty-tensors-zero3", "model.layers.0.self_attn.q_proj.lora_B.default.weight", [0], [4096, 8]),
    ("quantized-base-packed", "model.layers.0.mlp.up_proj.base_layer.weight", [11008, 4096], [22544384, 1]),
    ("rank-mismatch", "model.layers.0.self_attn.q_proj.lora_A.default.weight", [16, 4096], [8, 4096]),
    ("moe-layout", "model.layers.0.mlp.experts.down_proj", [64, 128], [128, 64]),
    ("moe-layout", "model.layers.0.mlp.experts.base_layer.lora_A.default.weight", [256, 64], [64, 256]),
    ("wrong-base-hidden-size", "model.layers.0.self_attn.q_proj.lora_A.default.weight", [8, 3584], [8, 4096]),
]  # fmt: skip

TEXTS = [
    *((code, text) for code, _, text in (line.partition(" | ") for line in VERSIONS)),
    *((code, REQUIRED.format(wanted, found)) for code, wanted, found in RANGES),
    *((code, text if "load key" in text else HEADER + text) for code, *texts in FILES for text in texts),
    *((code, f"SafetensorError: {text}") for code, *texts in FILES[:5] for text in texts),
    *NAMES,
    *((code, SIZE.format(name, found, expected)) for code, name, found, expected in SHAPES),
    *(
        (code, f"{name} | MISMATCH | Reinit due to size mismatch - ckpt: torch.Size({found}) vs model:torch.Size({expected})")
        for code, name, found, expected in SHAPES
    ),
]  # fmt: skip


@pytest.mark.parametrize(("code", "text"), TEXTS, ids=[f"{code}-{at}" for at, (code, _) in enumerate(TEXTS)])
def test_a_wording_has_its_code(code: str, text: str) -> None:
    # a header that is "too large" is text, most often a pointer: both are named
    expected = [code, "lfs-pointer"] if text in {HEADER + "HeaderTooLarge", HEADER + "header too large"} else [code]
    for lines in (text, f"Traceback (most recent call last):\n{text}\n", f"step 1\r\n{text}\r\nstep 2\r\n"):
        assert [one.code for one in diagnose_log(io.BytesIO(lines.encode())).findings] == expected


def test_ranges_in_other_words_are_no_such_check() -> None:
    others = [
        "foo>=1.0 is required", "a licence is required for a normal functioning of this module",
        "ERROR: No matching distribution found for leftpad==9", "431 Request Header Fields Too Large: header too large",
    ]  # fmt: skip
    for count in range(1, len(others) + 1):
        for some in itertools.combinations(others, count):
            assert diagnose_log(io.BytesIO("\n".join(some).encode())).findings == ()


def test_an_old_cache_speaks_of_whose_file_imports_it() -> None:
    line = "ImportError: cannot import name 'HybridCache' from 'transformers'"
    for file, code in (
        ("site-packages/peft/peft_model.py", "peft-transformers-incompatible"),
        ("site-packages/other/cache.py", "transformers-api-changed"),
    ):
        text = f'  File "{file}", line 37, in <module>\n    from transformers import HybridCache\n{line}\n'
        assert [one.code for one in diagnose_log(io.BytesIO(text.encode())).findings] == [code]
