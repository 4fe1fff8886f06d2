"""Why a merge stops once it runs: what a worker reported, and outputs that are not those of base and adapter.

What the preflight only warned of is named as the cause where a worker then failed over it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from envpin.core.errors import (
    CheckFailedError,
    DiskFullError,
    EnvpinError,
    InfrastructureError,
    InputError,
    RefusedError,
    WrongEnvironmentError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from envpin.core.findings import Finding
    from envpin.host.verbs import ProbeNumbers
    from envpin.host.worker import WorkerError

# |merged - adapter| above half of |adapter - base|: the merged model is nearer to doing nothing than to the adapter.
WORST_RATIO = 0.5
# Right merges in 16 bit were met at 0.2 to 1.8 times what rounding alone explains (docs/explanation/the-gate.md).
_TIMES_ROUNDING = 5.0
# Below this nothing is judged: float32 sums in another order differ by less.
_SMALLEST_GATE = 1e-3


def gate_figures() -> dict[str, float]:
    """The figures of `gate`, for whoever judges without envpin."""
    return {"worst": WORST_RATIO, "times": _TIMES_ROUNDING, "least": _SMALLEST_GATE}


# Beyond so many times what rounding explains it is named as no cause.
_FAR = 10


_NOT_FINITE = "a base whose own outputs are NaN or infinite is broken, or overflows in float16"


def gate(expected: float | None) -> float:
    """The largest ratio |merged - adapter| / |adapter - base| that passes, from the one that rounding alone explains on
    this model (None: it could not be measured)."""
    if expected is None:
        return WORST_RATIO
    return min(WORST_RATIO, max(_SMALLEST_GATE, _TIMES_ROUNDING * expected))


def warned(findings: Iterable[Finding], codes: frozenset[str] | None) -> str | None:
    """The first finding of these codes, with its first step."""
    found = next((one for one in findings if codes is not None and one.code in codes and one.severity != "info"), None)
    if found is None:
        return None
    return f"{found.code}: {found.message}" + (f"; {found.fix[0]}" if found.fix else "")


def cause_of(probe: ProbeNumbers | None, findings: Iterable[Finding], values: Callable[[], str | None]) -> str | None:
    """Why there is nothing to compare, where the preflight's findings tell, or what `values` finds in the tensors."""
    if probe is None or probe.moved:
        return None
    if probe.moved is None:
        return values()
    return warned(findings, frozenset({"adapter-is-noop"}))


def refuse_probe(probe: ProbeNumbers | None, *, force: bool, tied: str | None = None, cause: str | None = None) -> None:
    """`tied` is a module that the adapter changes and whose table other modules of the base may share, `cause` what is
    known of outputs that cannot be compared.

    Raises:
        WrongEnvironmentError: the adapter moves nothing, or the merged model does not follow it.
    """
    if probe is None or force:
        return
    if probe.moved is None:
        raise WrongEnvironmentError(
            "the outputs of the base, alone or with the adapter, are not finite: nothing can be compared with them",
            hint=f"{cause or _NOT_FINITE}; --force publishes the merge anyway",
        )
    if not probe.moved:
        raise WrongEnvironmentError(
            "the adapter changes nothing: with it, the outputs of the base are exactly those without it",
            hint=f"{cause or 'it may have been saved before training'}; --force merges it anyway",
        )
    if probe.ratio is None or probe.ratio > gate(probe.expected):
        raise WrongEnvironmentError(
            "the outputs of the merged model are not those of base and adapter: they are off by "
            f"{probe.noise or math.inf:.3g}, where the adapter moves the base by {probe.moved:.3g}{_beyond(probe)}",
            hint=f"{_why_off(probe, tied)}; --force publishes it anyway",
        )


def _why_off(probe: ProbeNumbers, tied: str | None) -> str:
    if tied is not None and (probe.ratio is None or probe.expected is None or probe.ratio > _FAR * probe.expected):
        return (
            f"the base stores one table for embedding and head, and the adapter changes `{tied}`: where the model ties "
            "the two, a merge changes both, and training did not; use base and adapter unmerged, as "
            "`PeftModel.from_pretrained` loads them"
        )
    if probe.ratio is not None and probe.expected is not None and probe.ratio > _FAR * probe.expected:
        return (
            "no rounding explains that: where this peft's own merge is as far off, use base and adapter unmerged, as "
            "`PeftModel.from_pretrained` loads them"
        )
    return "the adapter's effect may be lost in rounding to the base's dtype"


def _beyond(probe: ProbeNumbers) -> str:
    return "" if probe.expected is None else f"; rounding alone explains {probe.expected * (probe.moved or 0):.3g}"


def explained(error: WorkerError, findings: Iterable[Finding] = ()) -> EnvpinError:
    """The controller's own error for what a worker reported; `findings` are those of the preflight."""
    tensors = _names(error.data.get("tensors"))
    listed = "".join(f"\n  {name}" for name in tensors[:8])
    if len(tensors) > 8:
        listed += f"\n  and {len(tensors) - 8} more"
    message = error.message + listed
    if error.worker_kind == "disk-full":
        return DiskFullError(message, hint="free some space and run the same command again")
    if error.worker_kind in {"permission", "input", "bad-header", "bad-index"}:
        return InputError(message, path=_text(error.data.get("path")))
    if error.worker_kind == "no-device":
        return InfrastructureError(message, hint="leave out --device cuda, or name an environment with a CUDA torch")
    if error.worker_kind == "refused-config":
        return RefusedError(message, hint="ask who made the adapter; nothing that can be merged needs this")
    if error.worker_kind in {"output-busy", "output-exists"}:
        return RefusedError(message, hint="wait for it, or choose another -o")
    cause = WrongEnvironmentError if error.worker_kind in _OF_THE_ENVIRONMENT else CheckFailedError
    return cause(message, hint=warned(findings, _WARNED.get(error.worker_kind)) or _HINTS.get(error.worker_kind))


def _names(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


# Faults that other versions may not have.
_OF_THE_ENVIRONMENT = frozenset({"adapter-not-applied", "load-failed", "adapter-load-failed"})
# What may be the cause of each, where the preflight warned of it.
_OF_BASE = frozenset({
    "missing-shard", "corrupt-header", "config-needs-newer-transformers", "architecture-drift", "model-tensors-missing",
})  # fmt: skip
_OF_ADAPTER = frozenset({
    "extra-adapter-tensors", "tensors-not-of-method", "unmatched-adapter-keys", "adapter-tensors-missing",
    "architecture-drift", "rank-mismatch", "corrupt-header", "adapter-needs-newer-peft", "adapter-needs-older-peft",
    "wrong-base-architecture", "wrong-base-layers",
})  # fmt: skip
_WARNED = {
    "load-failed": _OF_BASE, "weights-missing": _OF_BASE, "adapter-load-failed": _OF_ADAPTER,
    "adapter-not-applied": _OF_ADAPTER,
}  # fmt: skip
_IN_TRAINING = (
    "if the training environment is still there, save the adapter again with "
    "`path_initial_model_for_weight_conversion`, or merge the model there as it is in memory"
)
_HINTS = {
    "adapter-not-applied": "a setting of adapter_config.json leaves these modules out, or they were renamed between "
    "the adapter's transformers and this one: name the environment that trained it with --environment REF",
    "not-as-trained": _IN_TRAINING,
    "not-reproducible": _IN_TRAINING,
    "cannot-merge": "such an adapter stays next to its base: load both, as `PeftModel.from_pretrained` does",
    "needs-gpu": "merge on a machine with a GPU, with a CUDA torch and bitsandbytes in the environment",
    "needs-packages": "name an environment that holds them, such as "
    "--environment 'transformers==X,peft==Y,torch==Z,bitsandbytes,scipy'",
    "load-failed": "the base does not load without any adapter, either: put back its files and its config.json, or "
    "name an environment that reads them with --environment REF",
    "weights-missing": "the base's files are not whole: take them again, all of them, or the config.json that belongs "
    "to them",
    "adapter-load-failed": "take config and weights of the same checkpoint, and the base that it was trained on; or "
    "name an environment whose peft reads them with --environment REF",
    "pickle-weights": "envpin opens no pickles; save the adapter again with safetensors",
    "out-of-memory": "close other programs, or merge on a machine with more memory",
    "verification-failed": "what was written is not what was computed: check the disk and the memory of this machine",
    "not-finite": "either the adapter or the base holds NaN or infinity, and is broken, or the change leaves the "
    "range of float16: then take a base in bfloat16 or float32, or use base and adapter unmerged; where all three are "
    "sound, the disk wrote other bytes than were computed",
    "quantized-base": "give the unquantized original with --base",
    "no-bitsandbytes": "name an environment with a bitsandbytes that computes on this machine's CPU, such as "
    "--environment 'transformers==X,peft==Y,torch==Z,bitsandbytes>=0.48', or merge with --quantized-base original",
}
