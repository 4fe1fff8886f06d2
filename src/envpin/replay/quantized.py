"""Which weights the delta is added to where the base is quantized: a choice that the user makes and the record keeps.

`original`: to the 16-bit weights, as most QLoRA merges do; the merged model differs from the trained one by the
rounding of the quantization. `dequantize`: to the weights that training saw, dequantized; nearest to what was trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from envpin.checkpoint.quantization import Policy, Quantization, of_base, of_training
from envpin.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.core.findings import Finding
    from envpin.manifest.types import Manifest

FLAG = "--quantized-base"
_CODES = frozenset({"quantized-base-packed", "quantization-differs"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """`quantization` is what there is to decide about, `policy` what was decided; without one the question is open."""

    quantization: Quantization | None = None
    policy: Policy | None = None

    @property
    def is_open(self) -> bool:
        """Whether a merge has to wait for an answer."""
        return self.quantization is not None and self.policy is None

    @property
    def packages(self) -> tuple[str, ...]:
        """Distributions beyond the merge closure that this decision needs, where the training run had them."""
        found = self.quantization
        if found is None or self.policy != "dequantize" or found.method != "bitsandbytes":
            return ()
        return ("bitsandbytes",)

    def request(self) -> dict[str, object] | None:
        """In the words of the worker protocol."""
        found = self.quantization
        if found is None or self.policy is None:
            return None
        return {"policy": self.policy, "stored": found.stored, "config": dict(found.config), "dtype": found.loaded}

    def to_json(self) -> dict[str, object] | None:
        """For plans and records."""
        found = self.quantization
        if found is None:
            return None
        return {
            "policy": self.policy,
            "method": found.method,
            "stored": found.stored,
            "source": found.source,
            "config": dict(found.config),
        }

    def describe(self) -> str | None:
        """One line for people."""
        found = self.quantization
        if found is None:
            return None
        if not found.can_be_dequantized:
            return f"{found.words}: cannot be merged into"
        if self.policy is None:
            return f"{found.words}: choose {FLAG} original or {FLAG} dequantize"
        if self.policy == "original":
            return f"added to the 16-bit weights, though training saw {found.words} ({FLAG} original)"
        how = "the base is dequantized" if found.stored else "the base is quantized as in training, and dequantized"
        return f"{how} from {found.words} ({FLAG} dequantize)"


def decide(base: Checkpoint, manifest: Manifest | None, policy: Policy | None) -> Decision:
    """What there is to decide about this base, and what `policy` decides.

    Raises:
        UsageError: `dequantize` where nothing says that the base was ever quantized.
    """
    stored, trained = of_base(base), of_training(manifest)
    if stored is not None and not stored.stored and trained is not None:
        stored = trained  # both quantize on loading; the run's own config is the one that was in force
    found = stored or (trained if trained is not None and trained.can_be_dequantized else None)
    if found is None and policy == "dequantize":
        raise UsageError(
            "nothing is to be dequantized: the base is not quantized, and no record says that training quantized it",
            hint=f"leave out {FLAG}",
        )
    if found is not None and found.stored and (policy == "original" or not found.can_be_dequantized):
        return Decision(quantization=found)  # whatever was asked for cannot be had from these files
    return Decision(quantization=found, policy=policy)


def quantized_run(manifests: Iterable[Manifest | None]) -> Manifest | None:
    """The record of the first run that quantized its base."""
    return next((one for one in manifests if of_training(one) is not None), None)


def settle(findings: tuple[Finding, ...], decision: Decision, policy: Policy | None) -> tuple[Finding, ...]:
    """The preflight's findings in the light of the decision: an open question stops a merge, a decided one informs."""
    settled = []
    for one in findings:
        if one.code not in _CODES or decision.quantization is None:
            settled.append(one)
        elif not decision.is_open:
            message = f"the delta is {decision.describe()}" if decision.policy == "original" else decision.describe()
            settled.append(msgspec.structs.replace(one, severity="info", message=message or one.message))
        elif policy == "original":
            message = f"{one.message}; {FLAG} original needs the 16-bit original, given with --base"
            settled.append(msgspec.structs.replace(one, severity="blocker", message=message))
        else:
            message = f"{one.message}; which weights the delta is added to is for you to choose with {FLAG}"
            settled.append(msgspec.structs.replace(one, severity="blocker", message=message))
    return tuple(sorted(settled, key=lambda one: one.sort_key))
