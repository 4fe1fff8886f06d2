"""What decides how the run computes: attention, precision, determinism, threads. Read, never set."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

from _envpin_hook import guarded, module

if TYPE_CHECKING:
    from transformers import Trainer

# Flags of torch, by the path below `torch`. A path that this torch does not have is left out.
_FLAGS = {
    "deterministic_algorithms": "are_deterministic_algorithms_enabled()",
    "matmul_precision": "get_float32_matmul_precision()",
    "threads": "get_num_threads()",
    "cudnn_deterministic": "backends.cudnn.deterministic",
    "cudnn_benchmark": "backends.cudnn.benchmark",
    "cudnn_tf32": "backends.cudnn.allow_tf32",
    "matmul_tf32": "backends.cuda.matmul.allow_tf32",
    "flash_sdp": "backends.cuda.flash_sdp_enabled()",
    "efficient_sdp": "backends.cuda.mem_efficient_sdp_enabled()",
    "math_sdp": "backends.cuda.math_sdp_enabled()",
    "cpu_capability": "backends.cpu.get_cpu_capability()",
    "mkldnn": "backends.mkldnn.enabled",
    "default_dtype": "get_default_dtype()",
}


def kernels(trainer: Optional[Trainer], model: Any) -> Dict[str, object]:
    found: Dict[str, object] = {}
    torch = module("torch")
    if torch is not None:
        for name, path in _FLAGS.items():
            value = _value(torch, path)
            if value is not None:
                found[name] = value if isinstance(value, (bool, int)) else str(value).replace("torch.", "")
    for name, ask in (
        ("attention", _attention), ("gradient_checkpointing", _checkpointing), ("dtype", _dtypes),
        ("dropout", _dropout), ("remote_code", _remote_code), ("device", _device),
    ):  # fmt: skip
        value = guarded(name, ask, model)
        if value is not None:
            found[name] = value
    accelerator = getattr(trainer, "accelerator", None)
    if accelerator is not None:
        found["autocast"] = guarded("autocast", lambda: str(accelerator.mixed_precision))
        found["distributed"] = guarded("distribution", lambda: str(accelerator.distributed_type).rpartition(".")[2])
    found["processor"] = guarded("processor", _processor)
    found["cores"] = os.cpu_count()
    return {name: value for name, value in found.items() if value is not None}


def _value(torch: Any, path: str) -> object:
    owner: Any = torch
    for name in path.replace("()", "").split("."):
        owner = getattr(owner, name, None)
        if owner is None:
            return None
    try:
        asked: Callable[[], object] = owner
        return asked() if path.endswith("()") else owner
    except Exception:  # some flags cannot be asked once their newer forms were set
        return None


def _attention(model: Any) -> Optional[str]:
    value = getattr(model.config, "_attn_implementation", None)
    return None if value is None else str(value)


def _checkpointing(model: Any) -> Optional[bool]:
    value = getattr(model, "is_gradient_checkpointing", None)
    return None if value is None else bool(value)


def _dtypes(model: Any) -> Dict[str, int]:
    """How many elements have which dtype: those that are trained, and all others."""
    found: Dict[str, int] = {}
    for one in model.parameters():
        key = ("trained " if one.requires_grad else "") + str(one.dtype).replace("torch.", "")
        found[key] = found.get(key, 0) + int(one.numel())
    return found


def _remote_code(model: Any) -> Optional[str]:
    """The class of the model, where its code came with the model."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    kind = type(bare)
    return kind.__module__ + "." + kind.__name__ if kind.__module__.startswith("transformers_modules") else None


def _device(model: Any) -> str:
    return str(next(model.parameters()).device.type)


def _dropout(model: Any) -> Dict[str, int]:
    """How many layers drop with which probability."""
    found: Dict[str, int] = {}
    for one in model.modules():
        if "Dropout" in type(one).__name__ and isinstance(getattr(one, "p", None), float):
            found[repr(one.p)] = found.get(repr(one.p), 0) + 1
    return found


def _processor() -> Optional[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if line.startswith(("model name", "Model")):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return None
