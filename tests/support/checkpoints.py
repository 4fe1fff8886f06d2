"""Small checkpoint folders written byte by byte, for tests of readers: no torch, and broken where a test wants it."""

from __future__ import annotations

import json
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "U8": 1, "I32": 4, "I64": 8}


def header_bytes(tensors: Mapping[str, tuple[int, ...]], dtype: str = "F32") -> tuple[bytes, int]:
    """The header of a safetensors file with its length in front, and the number of data bytes that must follow."""
    document: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in tensors.items():
        size = prod(shape) * _BYTES[dtype]
        document[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, at


def write_safetensors(path: Path, tensors: Mapping[str, tuple[int, ...]], *, dtype: str = "F32") -> None:
    """A valid file whose data is a hole: it takes no space, whatever the shapes."""
    start, data = header_bytes(tensors, dtype)
    with path.open("wb") as stream:
        stream.write(start)
        stream.truncate(len(start) + data)


def llama_shapes(*, vocab: int = 320, hidden: int = 64, layers: int = 2, inner: int = 128, kv: int = 32,
                 tied: bool = False) -> dict[str, tuple[int, ...]]:  # fmt: skip
    """Names and shapes of a Llama model."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(layers):
        at = f"model.layers.{layer}"
        found |= {
            f"{at}.self_attn.q_proj.weight": (hidden, hidden),
            f"{at}.self_attn.k_proj.weight": (kv, hidden),
            f"{at}.self_attn.v_proj.weight": (kv, hidden),
            f"{at}.self_attn.o_proj.weight": (hidden, hidden),
            f"{at}.mlp.gate_proj.weight": (inner, hidden),
            f"{at}.mlp.up_proj.weight": (inner, hidden),
            f"{at}.mlp.down_proj.weight": (hidden, inner),
            f"{at}.input_layernorm.weight": (hidden,),
            f"{at}.post_attention_layernorm.weight": (hidden,),
        }
    found["model.norm.weight"] = (hidden,)
    if not tied:
        found["lm_head.weight"] = (vocab, hidden)
    return found


def lora_shapes(base: Mapping[str, tuple[int, ...]], modules: tuple[str, ...] = ("q_proj", "v_proj"), *,
                rank: int = 8) -> dict[str, tuple[int, ...]]:  # fmt: skip
    """Names and shapes of a LoRA over `modules` of a base, as peft saves them."""
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in base.items():
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] in modules:
            found[f"base_model.model.{module}.lora_A.weight"] = (rank, shape[1])
            found[f"base_model.model.{module}.lora_B.weight"] = (shape[0], rank)
    return found


def write_model(folder: Path, tensors: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None = None, *,
                shards: int = 1, dtype: str = "F32") -> Path:  # fmt: skip
    """A model folder; with `shards` above 1, with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config if config is not None else llama_config()), encoding="utf-8")
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, dtype=dtype)
        return folder
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = names[shard * len(names) // shards : (shard + 1) * len(names) // shards]
        write_safetensors(folder / file, {name: tensors[name] for name in part}, dtype=dtype)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def write_adapter(folder: Path, tensors: Mapping[str, tuple[int, ...]], *, base: str = "base",
                  **config: Any) -> Path:  # fmt: skip
    """An adapter folder as peft writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": 8,
                "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "bias": "none"} | config  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(document), encoding="utf-8")
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return folder


def llama_config(**changes: Any) -> dict[str, Any]:
    """The config of `llama_shapes`' model."""
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 320, "hidden_size": 64,
            "num_hidden_layers": 2, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2,
            "tie_word_embeddings": False, "torch_dtype": "float32"} | changes  # fmt: skip
