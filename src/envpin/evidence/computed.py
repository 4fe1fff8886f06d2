"""Breaks that follow from runs alone: which adapters stop working between two releases, and what stops in one. Pure.

`matrix verify --update` writes them anew each time, under ids that begin with `run-`; what a hand-written break of the
family already explains is left to that. A boundary lies somewhere between the last release that was seen on this side
and the first on the other: where releases between the two were not run, the title says so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from packaging.version import Version

from envpin.evidence.refuted import crosses, stops
from envpin.matrix.types import Break

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.support import Support
    from envpin.matrix.types import Crossing, Family, Matrix

PREFIX = "run-"
_CROSS = "cross-merge"
# What may stop in a release that loads the model, in the order of the ladder.
_STEPS = ("forward", "generate", "train", "reload", "merge")
_AFFECTS = {"adapter-lost": ("load-adapter", "merge"), "base-differs": ("forward",), _CROSS: (_CROSS,)}


class _Boundary(NamedTuple):
    """Between the releases `before` and `after` of one family; `last` is the last that fails, where later ones work."""

    direction: Crossing
    kind: str
    before: str
    after: str
    last: str | None
    runs: tuple[EvidenceRun, ...]


def computed_breaks(
    matrix: Matrix, runs: Iterable[EvidenceRun], support: Support
) -> dict[str, tuple[Break, list[str]]]:
    """Id to the break and the families that have it."""
    by_family: dict[str, list[EvidenceRun]] = {}
    for run in runs:
        if run.family in matrix.families and "transformers" in run.packages:
            by_family.setdefault(run.family, []).append(run)
    grouped: dict[tuple[object, ...], list[tuple[Family, _Boundary]]] = {}
    found: dict[str, tuple[Break, list[str]]] = {}
    for name, family in matrix.families.items():
        own = sorted(by_family.get(name, ()), key=lambda run: run.id)
        known = [matrix.breaks[one] for one in family.breaks if not one.startswith(PREFIX)]
        for boundary in _boundaries(own, known):
            grouped.setdefault(boundary[:5], []).append((family, boundary))
        for entry in _direct(family, own, known):
            found[entry.id] = (entry, [name])
    for members in grouped.values():
        entry = _of_crossings(members, support)
        found[entry.id] = (entry, [family.id for family, _ in members])
    return dict(sorted(found.items()))


def _boundaries(runs: Sequence[EvidenceRun], known: Sequence[Break]) -> Iterator[_Boundary]:
    stopped = {run.packages["transformers"] for run in runs if run.capability == "merge" and run.outcome == "fail"}
    crossed = [run for run in runs if run.capability == _CROSS and "transformers" in run.trained_with]
    failed: dict[tuple[Crossing, str], list[EvidenceRun]] = {}
    for run in crossed:
        ends = Version(run.trained_with["transformers"]), Version(run.packages["transformers"])
        direct = run.packages["transformers"] in stopped
        if run.outcome != "fail" or ends[0] == ends[1] or direct or any(crosses(one, run) for one in known):
            continue
        failed.setdefault(("into" if ends[0] < ends[1] else "out-of", _kind(run)), []).append(run)
    fine = [_ends(run) for run in crossed if run.outcome == "ok"]
    for (direction, kind), members in failed.items():
        for low, high, chosen in _clusters(members):
            if direction == "into":
                low = max([low, *(to for since, to in fine if since <= low < to < high)])  # noqa: PLW2901
                later = [to for since, to in fine if since <= low and to > max(_ends(run)[1] for run in chosen)]
                last = str(max(_ends(run)[1] for run in chosen)) if later else None
            else:
                high = min([high, *(to for since, to in fine if since >= high > to > low)])  # noqa: PLW2901
                last = None
            yield _Boundary(direction, kind, str(low), str(high), last, tuple(chosen))


def _ends(run: EvidenceRun) -> tuple[Version, Version]:
    return Version(run.trained_with["transformers"]), Version(run.packages["transformers"])


def _clusters(runs: Sequence[EvidenceRun]) -> list[tuple[Version, Version, list[EvidenceRun]]]:
    """Crossings that one boundary can explain: those whose intervals have something in common."""
    found: list[tuple[Version, Version, list[EvidenceRun]]] = []
    for run in sorted(runs, key=lambda one: sorted(_ends(one))[::-1]):
        low, high = sorted(_ends(run))
        for at, (lower, upper, members) in enumerate(found):
            if max(low, lower) < min(high, upper):
                found[at] = (max(low, lower), min(high, upper), [*members, run])
                break
        else:
            found.append((low, high, [run]))
    return found


def _kind(run: EvidenceRun) -> str:
    """What happened: `adapter-lost`, `base-differs`, or an error that is said aloud."""
    if run.error.startswith(("AdapterDoesNothingError", "AdapterEffectDiffersError", "MergeDiffersError")):
        return "adapter-lost"
    return "base-differs" if run.error.startswith("BaseDiffersError") else _CROSS


def _of_crossings(members: Sequence[tuple[Family, _Boundary]], support: Support) -> Break:
    direction, kind, before, after, last, _ = members[0][1]
    runs = [run for _, boundary in members for run in boundary.runs]
    apart = support.positions.get(after, 0) - support.positions.get(before, 0) != 1
    lower = f">{before}" if apart else f">={after}"
    older, newer = f"{before} and before", after if last == after else f"{after} and later"
    trained, taken = (older, newer) if direction == "into" else (newer, older)
    what = {
        "adapter-lost": f"adapters that transformers {trained} trained lose their effect, or a part of it, on {taken}",
        "base-differs": f"a base that transformers {trained} saved computes something else on {taken}",
        _CROSS: f"adapters that transformers {trained} trained do not merge on {taken}",
    }[kind]
    line = next((run.error.splitlines()[0] for run in runs if run.error), "")
    way = f"merge on transformers <= {before}" if direction == "into" else f"merge on transformers >= {after}"
    return Break(
        id=_id(kind, direction, before, after), package="transformers",
        versions=lower if last is None else f"{lower},<={last}",
        title=f"{what}{'; between the two nothing was run' if apart else ''}: "
        f"{', '.join(family.title for family, _ in members)}",
        affects=_AFFECTS[kind], ways_out=(way,), source="envpin matrix verify", crossing=direction,
        silent=kind != _CROSS, symptom=None if kind != _CROSS else _pattern(line),
        sample=None if kind != _CROSS else line, grade="merge-verified",
        evidence=tuple(sorted({run.id for run in runs})),
    )  # fmt: skip


def _direct(family: Family, runs: Sequence[EvidenceRun], known: Sequence[Break]) -> Iterator[Break]:
    """Steps that fail in releases in which the model loads."""
    for step in _STEPS:
        by_version: dict[Version, list[EvidenceRun]] = {}
        for run in runs:
            if run.capability == step and run.outcome in {"ok", "fail"}:
                by_version.setdefault(Version(run.packages["transformers"]), []).append(run)
        bad = [version for version, own in by_version.items() if all(one.outcome == "fail" for one in own)
               and not any(stops(entry, one) for entry in known for one in own)]  # fmt: skip
        good = sorted(version for version, own in by_version.items() if any(one.outcome == "ok" for one in own))
        while bad:
            lowest = min(bad)
            before = max((one for one in good if one < lowest), default=None)
            after = min((one for one in good if one > lowest), default=None)
            same = sorted(one for one in bad if after is None or one < after)
            bad = [one for one in bad if one not in same]
            if before is not None or after is not None:
                yield _stop(family, step, before, after, [run for one in same for run in by_version[one]])
        if any(entry.affects == (step,) for entry in known):
            return


def _stop(family: Family, step: str, before: Version | None, after: Version | None, runs: list[EvidenceRun]) -> Break:
    seen = sorted({run.packages["transformers"] for run in runs}, key=Version)
    bounds = [f">{before}"] if before is not None else []
    bounds += [f"<{after}"] if after is not None else []
    ways = ([f"transformers >= {after}"] if after is not None else []) + (
        [f"transformers <= {before}"] if before is not None else []
    )
    line = runs[0].error.splitlines()[0] if runs[0].error else ""
    silent = step == "merge" and line.startswith(("MergeDiffersError", "AdapterDoesNothingError"))
    return Break(
        id=_id(step, family.id, *dict.fromkeys((seen[0], seen[-1]))), package="transformers", versions=",".join(bounds),
        title=f"{step} fails with {family.title} on {', '.join(seen)}: {line.partition(': ')[2][:120]}",
        affects=(step,), ways_out=tuple(ways[:1]), source="envpin matrix verify", silent=silent,
        symptom=None if silent else _pattern(line), sample=None if silent else line, grade="load",
        evidence=tuple(sorted({run.id for run in runs})),
    )  # fmt: skip


def _id(*parts: str) -> str:
    return PREFIX + re.sub(r"[^a-z0-9]+", "-", "-".join(parts))


def _pattern(line: str) -> str:
    """A regular expression for the beginning of a message, up to the first value in it."""
    message = line.partition(": ")[2] or line
    return re.escape(re.split(r"[\d'\"{\[]", message)[0].strip()[:80] or message[:80])


def without_computed(matrix: Matrix) -> Matrix:
    """The matrix as people wrote it."""
    families = {
        name: msgspec.structs.replace(one, breaks=tuple(key for key in one.breaks if not key.startswith(PREFIX)))
        for name, one in matrix.families.items()
    }
    breaks = {key: one for key, one in matrix.breaks.items() if not key.startswith(PREFIX)}
    return msgspec.structs.replace(matrix, families=families, breaks=breaks)


class BreakChanges(NamedTuple):
    """How the computed breaks of a matrix change: new or other ones, those that are gone, and the whole list of breaks
    of each family whose list is another."""

    breaks: dict[str, Break]
    gone: tuple[str, ...]
    families: dict[str, tuple[str, ...]]

    def __bool__(self) -> bool:
        return bool(self.breaks or self.gone or self.families)


def recomputed(matrix: Matrix, runs: Iterable[EvidenceRun], support: Support) -> BreakChanges:
    """What `matrix verify --update` has to write for the breaks to be those that the runs give."""
    computed = computed_breaks(without_computed(matrix), runs, support)
    links: dict[str, list[str]] = {}
    for key, (_, names) in computed.items():
        for name in names:
            links.setdefault(name, []).append(key)
    lists = {
        name: (*(key for key in one.breaks if not key.startswith(PREFIX)), *links.get(name, ()))
        for name, one in matrix.families.items()
    }
    return BreakChanges(
        breaks={key: entry for key, (entry, _) in computed.items() if matrix.breaks.get(key) != entry},
        gone=tuple(key for key in matrix.breaks if key.startswith(PREFIX) and key not in computed),
        families={name: keys for name, keys in lists.items() if keys != matrix.families[name].breaks},
    )
