"""Folders of quantized bases whose headers list what a quantizer stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.checkpoints import llama_config, llama_shapes, write_model

if TYPE_CHECKING:
    from pathlib import Path

NF4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4"}
INT8 = {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True}
LAYER = "model.layers.0.self_attn.q_proj"


def quantized_model(
    folder: Path, quantization: dict[str, Any] | None = None, **stored: tuple[str, tuple[int, ...]]
) -> Path:
    """A base whose headers list `stored` (dtype and shape by ending) in place of its first layer's q_proj."""
    shapes: dict[str, Any] = dict(llama_shapes())
    config = llama_config(**({"quantization_config": quantization} if quantization else {}))
    path = write_model(folder, shapes, config=config)
    if stored:
        rewrite(path / "model.safetensors", stored)
    return path


def rewrite(path: Path, stored: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop(LAYER + ".weight", None)
    sizes = {"U8": 1, "I8": 1, "F32": 4, "F8_E4M3": 1, "BF16": 2, "F16": 2, "I32": 4}
    entries = {name: (one["dtype"], tuple(one["shape"])) for name, one in header.items() if name != "__metadata__"}
    entries |= {LAYER + ending: one for ending, one in stored.items()}
    document, end = {}, 0
    for name, (dtype, shape) in entries.items():
        size = sizes[dtype]
        for extent in shape:
            size *= extent
        document[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(document).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))


FOUR = {".weight": ("U8", (2048, 1)), ".weight.absmax": ("F32", (64,)), ".weight.quant_map": ("F32", (16,)),
        ".weight.quant_state.bitsandbytes__nf4": ("U8", (80,))}  # fmt: skip
EIGHT = {".weight": ("I8", (64, 64)), ".SCB": ("F32", (64,))}
FP8 = {".weight": ("F8_E4M3", (64, 64)), ".weight_scale_inv": ("F32", (1, 1))}
