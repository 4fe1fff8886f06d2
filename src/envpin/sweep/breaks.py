"""Which release stopped adapters of before it from merging: read from the crossings of a sweep. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.matrix.types import Break
from envpin.sweep.plan import CROSS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.support import Support


def found_breaks(entries: Iterable[EvidenceRun], support: Support) -> dict[str, Break]:
    """A break for every release of transformers at which a family's adapters stop merging as they did.

    Three runs are needed: the adapter merges where it was trained, in the release just before the boundary; the same
    adapter does not merge in the release after it; and that release merges an adapter of its own. peft, torch and
    Python are the same on both sides, so it is transformers that changed. Where the same adapter merges again in a
    later release, the break ends with the last before it that was seen to fail.
    """
    runs = tuple(entries)
    by_kind: dict[tuple[str, str, str | None], list[tuple[EvidenceRun, EvidenceRun, EvidenceRun]]] = {}
    for boundary in _boundaries(runs, support):
        failed = boundary[1]
        key = (failed.packages["transformers"], _kind(failed), _last_failing(failed, runs, support))
        by_kind.setdefault(key, []).append(boundary)
    return {
        "-".join(["transformers", release, kind, *(["to", last] if last else [])]).replace(".", "-"): _break(
            release, last, kind, boundaries
        )
        for (release, kind, last), boundaries in by_kind.items()
    }


def _last_failing(failed: EvidenceRun, runs: Sequence[EvidenceRun], support: Support) -> str | None:
    """The last release that was seen to fail before one where the same adapter merges; None where it never does."""
    same = sorted(
        (support.positions.get(one.packages["transformers"], -1), one.outcome == "ok", one.packages["transformers"])
        for one in runs
        if one.capability == CROSS and (one.family, one.trained_with) == (failed.family, failed.trained_with)
    )
    later = [one for one in same if one[0] >= support.positions[failed.packages["transformers"]]]
    good = next((at for at, works, _ in later if works), None)
    return None if good is None else [version for at, works, version in later if at < good][-1]


def _kind(failed: EvidenceRun) -> str:
    """What happened to the adapter: `adapter-lost`, `base-differs`, or an error that is said aloud."""
    if failed.error.startswith(("AdapterDoesNothingError", "AdapterEffectDiffersError", "MergeDiffersError")):
        return "adapter-lost"
    return "base-differs" if failed.error.startswith("BaseDiffersError") else CROSS


_AFFECTS = {"adapter-lost": ("merge", CROSS), "base-differs": ("forward",), CROSS: (CROSS,)}
_TITLES = {
    "adapter-lost": "adapters trained on {before} lose their effect, or a part of it, without an error",
    "base-differs": "a model that {before} saved answers differently, and an adapter with it",
    CROSS: "adapters trained on {before} no longer merge",
}


def _boundaries(
    entries: Sequence[EvidenceRun], support: Support
) -> Iterator[tuple[EvidenceRun, EvidenceRun, EvidenceRun]]:
    """(merged where it was trained, failed after the boundary, merged after the boundary when trained there)."""
    merged = [one for one in entries if one.capability == "merge" and one.outcome == "ok"]
    for crossed in entries:
        if crossed.capability != CROSS or crossed.outcome != "fail":
            continue
        for before in merged:
            if before.family != crossed.family or before.packages != crossed.trained_with:
                continue
            after = next((one for one in merged if one.family == crossed.family and one.packages == crossed.packages
                          and one.python == crossed.python), None)  # fmt: skip
            if after is not None and _only_transformers_differs(before, after) and _adjacent(before, after, support):
                yield before, crossed, after


def _only_transformers_differs(one: EvidenceRun, other: EvidenceRun) -> bool:
    same = all(one.packages.get(name) == other.packages.get(name) for name in ("peft", "torch"))
    return same and one.python == other.python and one.platform == other.platform


def _adjacent(before: EvidenceRun, after: EvidenceRun, support: Support) -> bool:
    """Whether no other release of transformers lies between the two."""
    places = [support.positions.get(one.packages["transformers"]) for one in (before, after)]
    return None not in places and places[1] == places[0] + 1  # type: ignore[operator]  # neither is None


def _break(
    release: str, last: str | None, kind: str, boundaries: Sequence[tuple[EvidenceRun, EvidenceRun, EvidenceRun]]
) -> Break:
    families = list(dict.fromkeys(failed.family for _, failed, _ in boundaries))
    before, failed = boundaries[0][0].packages["transformers"], boundaries[0][1]
    silent = kind != CROSS
    line = failed.error.splitlines()[0] if failed.error else ""
    return Break(
        package="transformers",
        versions=f">={release}" if last is None else f"=={release}" if last == release else f">={release},<={last}",
        title=f"{_TITLES[kind].format(before=before)}: {', '.join(families)}",
        affects=_AFFECTS[kind],
        ways_out=(f"merge on transformers {before}",),
        source="envpin matrix verify",
        silent=silent,
        symptom=None if silent else _pattern(line),
        sample=None if silent else line,
        grade="merge-verified",
        evidence=tuple(dict.fromkeys(one.id for boundary in boundaries for one in boundary)),
    )


def _pattern(line: str) -> str:
    """A regular expression for the beginning of the line's message, up to the first value in it."""
    message = line.partition(": ")[2] or line
    return re.escape(re.split(r"[\d'\"{\[]", message)[0].strip()[:80] or message[:80])
