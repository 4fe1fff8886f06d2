"""Are these the weights that training loaded? Whole digests where both sides have them, else samples. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from envpin.core.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from envpin.manifest.types import BaseModel, WeightSample

# `equal`: every file has the recorded sha256. `sampled`: sizes, headers and sampled blocks are the recorded ones, and
# no whole file was compared. `not compared`: something is recorded, and not what could be compared with these files.
WeightsState = Literal["equal", "sampled", "not recorded", "not compared", "differ"]
_FROM_BEST: tuple[WeightsState, ...] = ("equal", "sampled", "not compared", "not recorded", "differ")
_SHOWN = 12


class WeightsDifference(NamedTuple):
    """One file that is not the recorded one; None stands for a file that one side does not have."""

    file: str
    recorded: str | None
    found: str | None


class WeightsComparison(NamedTuple):
    """`reason` says why nothing, or not all, was compared."""

    state: WeightsState
    differences: tuple[WeightsDifference, ...] = ()
    reason: str | None = None

    @property
    def words(self) -> str:
        """For a line that begins with `base weights`."""
        said = {
            "equal": "as recorded",
            "sampled": "sizes, headers and samples as recorded; the whole files were not compared",
            "not recorded": "not recorded",
            "not compared": "not compared",
            "differ": f"not the recorded ones ({', '.join(f'`{one.file}`' for one in self.differences[:3])})",
        }[self.state]
        return f"{said}: {self.reason}" if self.reason else said


def compare_weights(
    recorded: BaseModel | None,
    names: Iterable[str],
    digests: Mapping[str, str],
    samples: Mapping[str, WeightSample],
    *,
    present: Collection[str] = (),
) -> WeightsComparison:
    """Hold the weights that are loaded from files of these `names` against those that `recorded` tells of.

    `present` are all names of the folder: a file that was recorded and is here, but not loaded, is none of them.
    `digests` are the sha256 of whole files and `samples` the samples, of as many of them as are known.
    """
    held = sorted(name for name in names if _is_weights(name))
    known = {name for name in (*recorded.files, *recorded.weights) if _is_weights(name)} if recorded else set()
    if recorded is None or not known:
        return WeightsComparison("not recorded")
    if not held:
        return WeightsComparison("not compared", reason="the base has no safetensors files here")
    found: list[WeightsDifference] = []
    whole, sampled = 0, 0
    for name in sorted({*held, *known}):
        if name not in held and name in present:
            continue
        if name not in held or name not in known:
            found.append(WeightsDifference(name, _of(name, known), _of(name, held)))
        elif name in recorded.files and name in digests:
            whole += 1
            if recorded.files[name] != digests[name]:
                found.append(WeightsDifference(name, recorded.files[name][:_SHOWN], digests[name][:_SHOWN]))
        elif name in recorded.weights and name in samples:
            sampled += 1
            found += _sample_difference(name, recorded.weights[name], samples[name])
    if found:
        return WeightsComparison("differ", tuple(found))
    if whole == len(held):
        return WeightsComparison("equal")
    if whole + sampled == len(held):
        return WeightsComparison("sampled")
    unknown = f"too little is known of {len(held) - whole - sampled} of {counted(len(held), 'file')}"
    return WeightsComparison("not compared", reason=unknown)


def worst_of(comparisons: Iterable[WeightsComparison]) -> WeightsComparison:
    """That of several adapters which says least; one that differs before all."""
    return max(comparisons, key=lambda one: _FROM_BEST.index(one.state))


def _sample_difference(name: str, recorded: WeightSample, found: WeightSample) -> list[WeightsDifference]:
    if recorded.size != found.size:
        return [WeightsDifference(name, counted(recorded.size, "byte"), counted(found.size, "byte"))]
    for what, one, other in (
        ("header", recorded.header_sha256, found.header_sha256),
        ("sample", recorded.blocks_sha256, found.blocks_sha256),
    ):
        if one != other:
            return [WeightsDifference(name, f"{what} {one[:_SHOWN]}", f"{what} {other[:_SHOWN]}")]
    return []


def _of(name: str, names: Iterable[str]) -> str | None:
    return "a file" if name in names else None


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors")
