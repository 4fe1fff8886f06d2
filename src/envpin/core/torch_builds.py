"""Builds of torch: what the label behind its version says, and which driver the CUDA in it needs. Pure."""

from __future__ import annotations

import re

from envpin.core.errors import UsageError

# `+cpu`, `+cu121`, `+rocm6.2`, `+xpu`; some had a suffix of their own (`+cpu.cxx11.abi`).
_BACKEND = re.compile(r"(cpu|xpu|cu\d{2,3}|rocm\d+(?:\.\d+){1,2})(?:\.[a-z].*)?$")
# The oldest driver that a CUDA of this major runs on: its kernels are compatible within a major.
# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
MINIMUM_DRIVERS: dict[int, str] = {13: "580", 12: "525.60.13", 11: "450.80.02", 10: "440.33"}
# What is compiled against one build of torch, and loads next to no other.
FOLLOWERS = ("torchvision", "torchaudio")
# Where PyTorch's indexes are mirrored; uv has no setting for that.
MIRROR = "ENVPIN_TORCH_INDEX"
# What a CUDA build of torch brings along.
_COMPANIONS = ("nvidia-", "cuda-", "triton", "pytorch-triton")


def backend_of(label: str | None) -> str | None:
    """The backend that a label of a version names, in uv's words (`cpu`, `cu121`, `rocm6.2`); None for other labels."""
    found = _BACKEND.match(label or "")
    return found[1] if found else None


def cuda_of(backend: str) -> str | None:
    """`cu121` is CUDA `12.1`; None where it is no CUDA."""
    found = re.fullmatch(r"cu(\d+)(\d)", backend)
    return f"{found[1]}.{found[2]}" if found else None


def rocm_of(backend: str) -> str | None:
    """`rocm6.2` is ROCm `6.2`."""
    return backend.removeprefix("rocm") if backend.startswith("rocm") else None


def checked_backend(text: str) -> str:
    """What a user gave as a backend: `auto`, `index` for the index's own, or one that a label can name.

    Raises:
        UsageError: it is neither.
    """
    if text in {"auto", "index"} or backend_of(text) == text:
        return text
    raise UsageError(
        f"`{text}` is no build of torch", hint="say auto, index, cpu, xpu, or for example cu126 or rocm6.2"
    )


def mirror_of(backend: str, base: str) -> str:
    """Where a mirror of PyTorch's indexes, laid out as they are (`BASE/cpu`, `BASE/cu126`), has one backend.

    Raises:
        UsageError: `auto`, which is uv's own choice among PyTorch's own indexes.
    """
    if backend == "auto":
        raise UsageError(
            f"`auto` does not go with {MIRROR}: it is a choice among PyTorch's own indexes",
            hint="name the build that fits the driver, as nvidia-smi shows it: --torch-backend cu126",
        )
    return f"{base.rstrip('/')}/{backend}"


def is_companion(package: str) -> bool:
    """Whether a CUDA build of torch brings this package along (by its normalized name)."""
    return package.startswith(_COMPANIONS)


def oldest_driver(cuda: str) -> str | None:
    """The oldest driver for a CUDA version (`12.1`); None where that is not known."""
    major = cuda.partition(".")[0]
    return MINIMUM_DRIVERS.get(int(major)) if major.isdecimal() and len(major) < 10 else None


def is_older(driver: str, other: str) -> bool:
    """Whether one driver version is below another."""
    return _numbers(driver) < _numbers(other)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version))
