"""How a base is quantized, read from its config and its headers, and what a merge can do about it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.manifest.types import Manifest

Policy = Literal["original", "dequantize"]

# What envpin decodes to the bit of the library that wrote it (workers/stream/quantized.py).
DECODED = ("bitsandbytes", "fp8")
# Everything else is refused, each for its reason.
REFUSED: Mapping[str, str] = {
    "gptq": "integers whose rounding was fitted to calibration data",
    "awq": "integers of weights that were rescaled by calibration data",
    "auto-round": "integers whose rounding was trained",
    "aqlm": "indices into learned codebooks",
    "vptq": "indices into learned codebooks",
    "quip": "indices into lattice codebooks of rotated weights",
    "higgs": "indices into grids of rotated weights",
    "spqr": "integers with outliers kept apart",
    "hqq": "integers whose zero points were optimised",
    "eetq": "integers in the layout of a GPU kernel",
    "quanto": "integers in the layout of optimum-quanto",
    "torchao": "tensor subclasses of one torchao release",
    "compressed-tensors": "any of a dozen formats, calibrated or not",
    "modelopt": "formats of one NVIDIA release",
    "fbgemm_fp8": "fp8 in the layout of a GPU kernel",
    "fp_quant": "4-bit floats of rotated weights",
    "bitnet": "ternary weights that only make sense as such",
    "mxfp4": "4-bit floats with a shared exponent: save it once from transformers' Mxfp4Config(dequantize=True)",
}
# Endings of repository names that say what was done to the original of the rest of the name.
_MADE_FROM = re.compile(
    r"(?i)[-_.](?:unsloth[-_])?(?:bnb[-_]?[48]bit|[48]bit|gptq(?:[-_]int[348])?|awq(?:[-_]int4)?|fp8(?:[-_]dynamic)?"
    r"|int[48]|w[48]a(?:8|16)|hqq|eetq|nf4)$"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantization:
    """`stored`: the base's files hold quantized data; otherwise they are plain and were quantized on loading.

    `config` is the quantization config in force, `source` the file that says so, `loaded` the dtype that training
    loaded the base in.
    """

    method: str
    stored: bool
    config: Mapping[str, object]
    source: str
    loaded: str | None = None

    @property
    def words(self) -> str:
        """For people: `4-bit bitsandbytes`."""
        if self.method != "bitsandbytes":
            return self.method
        return "8-bit bitsandbytes" if self.config.get("load_in_8bit") else "4-bit bitsandbytes"

    @property
    def can_be_dequantized(self) -> bool:
        """Whether the weights that training saw can be had: decoded, or quantized once more as it did."""
        return self.method in DECODED if self.stored else self.method == "bitsandbytes"


def of_base(base: Checkpoint) -> Quantization | None:
    """How a base says that it is quantized; None for a plain one."""
    config = base.quantization or {}
    method = str(config.get("quant_method") or "").lower()
    if not method and (config.get("load_in_4bit") or config.get("load_in_8bit")):
        method = "bitsandbytes"
    four = any(".quant_state." in one.name or _is_packed(one.dtype, one.shape) for one in base.tensors.values())
    eight = any(name.endswith(".SCB") for name in base.tensors)
    scaled = any(name.endswith(".weight_scale_inv") for name in base.tensors)
    packed = any(name.endswith((".qweight", ".weight_packed", "_blocks")) for name in base.tensors)
    if (four or eight) and method in {"", "bitsandbytes"}:
        config = {"quant_method": "bitsandbytes", "load_in_4bit": four, "load_in_8bit": not four, **config}
        return Quantization(method="bitsandbytes", stored=True, config=config, source="config.json")
    if scaled and method in {"", "fp8"}:
        config = {"quant_method": "fp8", **config}
        return Quantization(method="fp8", stored=True, config=config, source="config.json")
    if method:
        stored = packed or method != "bitsandbytes"
        return Quantization(method=method, stored=stored, config=config, source="config.json")
    if packed:
        return Quantization(method="packed integers", stored=True, config={}, source="config.json")
    return None


def _is_packed(dtype: str, shape: tuple[int, ...]) -> bool:
    return dtype == "U8" and shape[1:] == (1,)


def of_training(manifest: Manifest | None) -> Quantization | None:
    """How the record of a run says that its base was quantized in memory."""
    recorded = manifest.base if manifest is not None else None
    if recorded is None or not recorded.quantization:
        return None
    config = recorded.quantization
    method = str(config.get("quant_method") or "").lower()
    if not method:
        method = "bitsandbytes" if config.get("load_in_4bit") or config.get("load_in_8bit") else "unknown"
    return Quantization(method=method, stored=False, config=config, source="envpin.json", loaded=recorded.dtype)


def made_from(name: str | None) -> str | None:
    """The original that a quantized model's name names: `unsloth/llama-3-8b` for `unsloth/llama-3-8b-bnb-4bit`."""
    if not name:
        return None
    plain = _MADE_FROM.sub("", name)
    return plain if plain != name else None
