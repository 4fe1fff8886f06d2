"""What the user asks of a merge: which adapters, base and environment, and how the engine is to work. Data alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from envpin.core.errors import UsageError

if TYPE_CHECKING:
    from envpin.checkpoint.bases import FoundBase
    from envpin.checkpoint.quantization import Policy
    from envpin.envs.refs.adapter import Unrecorded
    from envpin.host.verbs import Device, Dtype
    from envpin.replay.adapters import WeightedAdapter

Engine = Literal["auto", "stream", "peft"]
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


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
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", self.max_shard_size)
        unit = found.group(2).upper() if found else "?"
        if found is None or unit not in _UNITS or not float(found.group(1)):
            raise UsageError(f"`{self.max_shard_size}` is not a size", hint="write for example 5GB or 500MB")
        return int(float(found.group(1)) * _UNITS[unit])

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
    their order. `choice` is the environment to take for an adapter without a manifest; without it, the most likely."""

    weight: float = 1.0
    further: tuple[WeightedAdapter, ...] = ()
    base: str | FoundBase | None = None
    environment: str | None = None
    python: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    offline: bool = False
    choice: Unrecorded | None = None
