"""Where the values lie that are not finite, once a merge has met them: a preflight does not read every value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.diagnose.detectors.values import not_finite, tells_finite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.replay.plan import MergePlan

# So much of a base is read, the beginning of each tensor: some seconds.
_READ = 1 << 30


def values_of(plan: MergePlan) -> str | None:
    """What to do about a base or an adapter of `plan` with such values, for a hint; None where none are found."""
    base = plan.base.checkpoint
    return _of_adapters(plan) or _of_base(base, base.tensors, _READ // max(1, len(base.tensors)))


def values_at(plan: MergePlan, data: Mapping[str, object]) -> str | None:
    """The same of the merged tensor that a worker names in the `data` of its error."""
    several = data.get("tensors")
    name = data.get("tensor") or (several[0] if isinstance(several, list) and several else None)
    base = plan.base.checkpoint
    held = base.tensors.get(str(name))
    found = _of_adapters(plan)
    if found is not None or held is None:
        return found
    if (wrong := _of_base(base, {held.name: held}, None)) is not None or not tells_finite(held.dtype):
        return wrong
    return (
        f"`{held.name}` is finite in the base, and so is the adapter: their sum leaves the range of {held.dtype}; take "
        "a base of a wider dtype, or use base and adapter unmerged"
    )


def _of_adapters(plan: MergePlan) -> str | None:
    for part in plan.parts:
        folder = open_checkpoint(part.path)
        wrong = not_finite(folder, folder.adapter_tensors, None)
        if wrong:
            return f"{_named(folder, wrong)}: take another checkpoint of the run, from before the loss became NaN"
    return None


def _of_base(base: Checkpoint, tensors: Mapping[str, Tensor], limit: int | None) -> str | None:
    wrong = not_finite(base, tensors, limit)
    return f"{_named(base, wrong)}: take the base's files again" if wrong else None


def _named(folder: Checkpoint, wrong: tuple[Tensor, ...]) -> str:
    first = wrong[0]
    more = f" and {len(wrong) - 1} more" if wrong[1:] else ""
    return f"`{first.name}`{more} of `{folder.path / first.file}` holds NaN or infinity"
