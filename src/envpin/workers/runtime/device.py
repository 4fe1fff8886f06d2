"""Where a merge computes: on the CPU, or on the GPU that the pinned torch sees."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Iterator, Optional

from ..protocol import KnownError
from ..results import DeviceUsed

if TYPE_CHECKING:
    import torch

# Below this many bytes of changed weights, starting CUDA costs more than it saves (streaming-merge.md in the docs).
WORTH_BYTES = 4_000_000_000


def choose(wanted: Optional[str], work: int, held: int = 0) -> DeviceUsed:
    """The device for `work` bytes of changed weights, of which `held` bytes have to be on it at once.

    Raises:
        KnownError: `no-device` where CUDA is asked for and cannot be had.
    """
    if wanted not in ("auto", "cuda"):
        return DeviceUsed("cpu", "cpu", "asked for")
    trouble = _trouble(held)
    if wanted == "cuda":
        if trouble is not None:
            raise KnownError("no-device", "cannot compute on cuda: %s" % trouble)
        return DeviceUsed("cuda", _label(), "asked for")
    if trouble is not None:
        return DeviceUsed("cpu", "cpu", trouble)
    if work < WORTH_BYTES:
        reason = "%.2f GB of changed weights are too little to pay for a GPU" % (work / 1e9)
        return DeviceUsed("cpu", "cpu", reason)
    return DeviceUsed("cuda", _label(), "%.2f GB of weights change" % (work / 1e9))


def _trouble(held: int) -> Optional[str]:
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda or getattr(torch.version, "hip", None)
        return "torch %s %s" % (torch.__version__, "sees no GPU" if built else "is built without CUDA")
    free = torch.cuda.mem_get_info()[0]
    if held > free:
        return "the model needs %.1f GB on the GPU, and %.1f GB are free" % (held / 1e9, free / 1e9)
    return None


def _label() -> str:
    import torch

    return "cuda, %s" % torch.cuda.get_device_name(0)


def place(tensor: torch.Tensor, kind: str) -> torch.Tensor:
    """A tensor of the CPU on the device; from pinned memory the copy runs beside other work of this thread's stream."""
    return tensor if kind == "cpu" else tensor.to(kind, non_blocking=True)


@contextlib.contextmanager
def own_stream(kind: str) -> Iterator[None]:
    """Work of this thread goes into a stream of its own, so that threads copy and compute beside each other."""
    if kind == "cpu":
        yield
        return
    import torch

    with torch.cuda.stream(torch.cuda.Stream()):
        yield


def fetch(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of any device as a contiguous one on the CPU, whole when this returns."""
    import torch

    if tensor.device.type == "cpu":
        return tensor.contiguous()
    ready = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    ready.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream().synchronize()
    return ready
