"""The page of a merged model: what went in, where it was merged, what was proved, what differs. Self-contained."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envpin.core.sizes import counted, verb
from envpin.manifest.compare import DECISIVE
from envpin.report.proof_picture import STATES, picture, states_of
from envpin.report.template import MARK, page
from envpin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpin.replay.record import InputFolder, MergeRecord
    from envpin.replay.reverify import Reverified

# A browser lays out a table of some thousand rows well enough; envpin-merge.json lists every tensor.
ROWS = 4000
_VERDICTS = {
    "identical": "the rebuilt environment is the recorded one",
    "identical-environment": "the rebuilt environment is the recorded one",
    "explained-drift": "the rebuilt environment differs from the recorded one in what is named below, and only there",
    "unrecorded": "nobody recorded the training environment: there is nothing to compare this one with",
    "mismatch": "the environment or the base is another one than recorded; the merge was forced",
}


class MergedInput(NamedTuple):
    """A folder that went in. `where` is its name on the Hub with its commit, else its path."""

    role: str
    where: str
    found: str
    weight: float
    files: dict[str, str]


class Figure(NamedTuple):
    """A number of the proof: what was counted, the number, what it means."""

    what: str
    value: str
    note: str


def render_merge(
    record: MergeRecord, *, place: str, verified: Reverified | None = None, names: Iterable[str] = ()
) -> str:
    """The page as text. `place` names the folder; without `verified` the page says that the bytes were not compared.

    `names` are the tensors of the files, for a record that lists none.
    """
    changed = [name for one in (verified.differences if verified else ()) for name in one.tensors]
    drawn = picture(states_of(record, changed=changed, names=names))
    held = list(drawn.states.items())
    return page(
        "merge.html", place=place, record=record, generator=f"{MARK} {__version__}",
        meaning=_VERDICTS[record.verdict.kind], bytes_now=_bytes_now(verified),
        differences=verified.differences if verified else (), inputs=_inputs(record),
        packages=_packages(record.environment.packages), picture=drawn, legend=STATES, tensors=held[:ROWS],
        left_out=max(0, len(held) - ROWS), figures=_figures(record), outputs=_outputs(record),
    )  # fmt: skip


def _bytes_now(verified: Reverified | None) -> tuple[str, str]:
    """A state and its words: are the files still those that were proved?"""
    if verified is None:
        return "open", "not compared: whether the files still are those of the merge was not looked at"
    if not verified.lists_weights:
        return "open", "not compared: the record lists no weights"
    if verified.intact:
        files = f"{counted(verified.files, 'file')} {verb(verified.files, 'is', 'are')}"
        return "good", f"intact: {files} what the merge proved"
    return "bad", "changed: what is here is not what the merge proved"


def _inputs(record: MergeRecord) -> list[MergedInput]:
    named = [("base", record.base), ("adapter", record.adapter), *(("adapter", one) for one in record.further)]
    return [
        MergedInput(role=role, where=_where(one), found=one.found or "", weight=one.weight, files=one.files)
        for role, one in named
    ]


def _where(one: InputFolder) -> str:
    if one.id is None:
        return one.path
    return f"{one.id}@{one.commit[:12]}" if one.commit else one.id


def _packages(packages: dict[str, str]) -> list[tuple[str, str, bool]]:
    """Name, version and whether it can change what a merge computes; those first."""
    return sorted(
        ((name, version, name in DECISIVE) for name, version in packages.items()), key=lambda one: (not one[2], one[0])
    )


def _figures(record: MergeRecord) -> list[Figure]:
    proof = record.verification
    rows = proof.get("recomputed")
    rows = rows if isinstance(rows, dict) else {}
    worst = rows.get("worst")
    found = [
        Figure("left alone", _number(proof.get("untouched")), "tensors, equal to the base's byte for byte"),
        Figure("changed", _number(proof.get("changed")), "tensors of the base that the adapter changes"),
        Figure("recomputed", _number(rows.get("rows")), f"rows of {_number(rows.get('tensors'))} tensors, in float64"),
        Figure("worst error", f"{worst:.4g}" if isinstance(worst, float | int) else "not recorded",
               "of what rounding allows; above 1 nothing is published"),
    ]  # fmt: skip
    for key, what, note in _LISTS:
        names = proof.get(key)
        if isinstance(names, list) and names:
            found.append(Figure(what, str(len(names)), note))
    decoded = proof.get("dequantized")
    if isinstance(decoded, int) and decoded:
        found.append(Figure("dequantized", str(decoded), "tensors, checked on disk"))
    return found


_LISTS = (
    ("added", "added", "tensors that the base's files do not have"),
    ("dropped", "dropped", "tensors that only the base's files have"),
    ("not_recomputed", "by outputs alone", "tensors judged by the outputs of the model alone"),
)


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "not recorded"


class OutputFigures(NamedTuple):
    """The probe: `ratio` is how far the merged model is from base and adapter by how far the adapter moves the base.

    `words` says so; the widths are percent of the longest bar, None where the figure is not known.
    """

    words: str
    bars: tuple[tuple[str, float, float], ...] = ()


def _outputs(record: MergeRecord) -> OutputFigures:
    probe = record.verification.get("probe")
    if not isinstance(probe, dict):
        why = record.verification.get("probe_note")
        return OutputFigures(f"not compared{f': {why}' if isinstance(why, str) else ''}")
    figures = {key: probe.get(key) for key in ("moved", "noise", "ratio", "expected")}
    known = {key: float(value) for key, value in figures.items() if isinstance(value, float | int)}
    if "ratio" not in known:
        return OutputFigures("the adapter moves nothing")
    words = f"|merged − adapter| / |adapter − base| = {known['ratio']:.3g}"
    if "expected" in known:
        words += f"; rounding alone explains {known['expected']:.3g}"
    if not {"moved", "noise"} <= known.keys() or not known["moved"] > 0:
        return OutputFigures(words)
    scale = 100 / max(known["moved"], known["noise"])
    bars = (("the adapter moves the logits by", known["moved"], known["moved"] * scale),
            ("the merge is off by", known["noise"], known["noise"] * scale))  # fmt: skip
    return OutputFigures(words, bars)
