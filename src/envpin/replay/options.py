"""What the user asks of a merge: which adapters, base and environment, and how the engine is to work. Data alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from envpin.core.errors import UsageError
from envpin.core.sizes import parse_size

if TYPE_CHECKING:
    from envpin.checkpoint.bases import FoundBase
    from envpin.checkpoint.quantization import Policy
    from envpin.envs.locks.torch_wish import TorchWish
    from envpin.envs.refs.adapter import Unrecorded
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.host.verbs import Device, Dtype
    from envpin.replay.adapters import WeightedAdapter

Engine = Literal["auto", "stream", "peft"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineOptions:
    """How to merge. What only `stream` can do (`dtype`, `threads`, `resume`) rules `peft` out."""

    engine: Engine = "auto"
    dtype: Dtype = "keep"
    device: Device = "cpu"
    threads: int | None = None
    max_shard_size: str | None = None
    resume: bool = False
    quantized_base: Policy | None = None

    @property
    def shard_bytes(self) -> int | None:
        """`max_shard_size` in bytes: `5GB` is 5·10⁹ as in transformers, `5GiB` is 5·2³⁰.

        Raises:
            UsageError: it is not a size.
        """
        if self.max_shard_size is None:
            return None
        return parse_size(self.max_shard_size)

    def check(self) -> None:
        """
        Raises:
            UsageError: options that exclude each other, or that are not what they should be.
        """
        _ = self.shard_bytes
        only_stream = [
            name
            for name, given in {
                "--dtype": self.dtype not in {"keep", "peft"},  # the engine `peft` leaves what peft leaves
                "--threads": self.threads is not None,
                "--resume": self.resume,
                "--quantized-base dequantize": self.quantized_base == "dequantize",
            }.items()
            if given
        ]
        if self.engine == "peft" and only_stream:
            raise UsageError(f"{only_stream[0]} works with the engine `stream` only", hint="leave out --engine peft")
        if self.threads is not None and self.threads < 1:
            raise UsageError("--threads takes a number of at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeOptions:
    """What the user asked for, beyond the adapter and the output. `further` adapters are merged after the first, in
    their order. `choice` is the environment to take for an adapter without a manifest; without it, the most likely.
    `torch` is the build of torch to merge with; without it, the recorded one, and where none is, one for the device.
    `max_download` is how many bytes may be downloaded for the environment. `spec` is the environment that a bundle
    brought along."""

    weight: float = 1.0
    further: tuple[WeightedAdapter, ...] = ()
    base: str | FoundBase | None = None
    environment: str | None = None
    python: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    offline: bool = False
    choice: Unrecorded | None = None
    torch: TorchWish | None = None
    max_download: int | None = None
    spec: EnvironmentSpec | None = None
