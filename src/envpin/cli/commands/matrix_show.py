"""`envpin matrix list` and `envpin matrix show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.cli.console.tables import table
from envpin.cli.console.width import fitted, room
from envpin.core.command_text import command_text
from envpin.core.errors import InputError, UsageError
from envpin.core.sizes import counted
from envpin.matrix.load import load_matrix
from envpin.matrix.match import match
from envpin.matrix.results import evidence_path, load_results
from envpin.matrix.support import load_support
from envpin.matrix.types import GRADES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from envpin.cli.console.console import Console
    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.support import Support
    from envpin.matrix.types import Break, Family, Matrix, Statement


_INDENT = 12


def run_list(args: argparse.Namespace, console: Console) -> int:
    matrix = load_matrix(Path(args.matrix) if args.matrix else None)
    families = [family for family in matrix.families.values() if _at_least(family, args.grade)]
    if args.whole:
        return _print_whole(args, console, matrix)
    if args.runs:
        return _print_runs(args, console, matrix)
    if args.json:
        console.document(1, {"overlay": matrix.overlay, "families": [_summary(family, matrix) for family in families]})
        return 0
    if matrix.overlay:
        console.talk(f"{len(matrix.overlaid)} of them from {matrix.overlay}")
    rows = [("FAMILY", "TITLE", "TRANSFORMERS", "PEFT", "TORCH", "PROVED")]
    for family in families:
        pins = family.pins
        proved = family.grade or f"no pins: {family.kind}"
        rows.append((family.id, family.title, pins.get("transformers", "-"), pins.get("peft", "-"),
                     pins.get("torch", "-"), proved))  # fmt: skip
    console.data("\n".join(table(rows, width=room(), elastic=1)))
    return 0


def _print_whole(args: argparse.Namespace, console: Console, matrix: Matrix) -> int:
    """
    Raises:
        UsageError: it has no form for people, and leaves nothing out.
    """
    from envpin.matrix.stack import load_stack
    from envpin.matrix.whole import whole_matrix

    if not args.json or args.grade:
        raise UsageError("`--whole` is one document with everything in it", hint="envpin matrix list --whole --json")
    runs = _runs_of(args, matrix)
    document = msgspec.to_builtins(whole_matrix(matrix, load_support(), load_stack(), runs.values()))
    console.document(document.pop("schema"), document)
    return 0


def _runs_of(args: argparse.Namespace, matrix: Matrix) -> dict[str, EvidenceRun]:
    runs = load_results(evidence_path(Path(args.matrix) if args.matrix else None))
    if args.matrix is None and matrix.overlay is not None:
        runs |= load_results(evidence_path(Path(matrix.overlay)))
    return runs


def _print_runs(args: argparse.Namespace, console: Console, matrix: Matrix) -> int:
    """Of each family, in how many of the releases that matter it was merged, and the releases that were left out."""
    from envpin.matrix.covered import covered

    found = covered(matrix.families, _runs_of(args, matrix).values(), load_support())
    if args.json:
        families = [{"family": one.family, "run": list(one.run), "missing": list(one.missing)} for one in found]
        console.document(1, {"families": families})
        return 0
    rows = [("FAMILY", "RUN", "NOT RUN")]
    rows.extend(
        (one.family, f"{len(one.run)} of {len(one.run) + len(one.missing)}", " ".join(one.missing))
        for one in sorted(found, key=lambda each: (-len(each.run), each.family))
    )
    console.data("\n".join(table(rows, width=room(), elastic=2)))
    return 0


def run_show(args: argparse.Namespace, console: Console) -> int:
    """A family, or, for a name that is a model type only, what the index tells about it."""
    matrix = load_matrix(Path(args.matrix) if args.matrix else None)
    family = matrix.families.get(args.family)
    if family is None:
        return _show_type(args, console, matrix)
    support = load_support()
    breaks = [matrix.breaks[name] for name in family.breaks]
    windows = {kind: support.window(kind) for kind in family.match.model_type}
    if args.json:
        body: dict[str, object] = msgspec.to_builtins(family)
        console.document(
            1, {**body, "overlay": _origin(family, matrix), "breaks": msgspec.to_builtins(breaks), "windows": windows}
        )
        return 0
    lines = _family_lines(family, breaks, windows, support, origin=_origin(family, matrix))
    console.data(fitted(lines, indent=_INDENT))
    return 0


def _at_least(family: Family, wanted: str | None) -> bool:
    if wanted is None:
        return True
    if wanted not in GRADES:
        raise InputError(f"`{wanted}` is not a grade", hint=f"one of {', '.join(GRADES)}")
    return family.grade is not None and GRADES.index(family.grade) >= [*GRADES].index(wanted)


def _origin(family: Family, matrix: Matrix) -> str | None:
    """The overlay that the family comes from; None where envpin brought it."""
    return matrix.overlay if family.id in matrix.overlaid else None


def _summary(family: Family, matrix: Matrix) -> dict[str, object]:
    return {
        "id": family.id, "title": family.title, "kind": family.kind, "model_types": family.match.model_type,
        "pins": family.pins, "python": family.python, "exclude_newer": family.exclude_newer, "lock": family.lock,
        "grade": family.grade, "overlay": _origin(family, matrix), "unpinnable": family.unpinnable,
    }  # fmt: skip


def _show_type(args: argparse.Namespace, console: Console, matrix: Matrix) -> int:
    """What the index tells about a model type, and which families have it."""
    kind, support = args.family, load_support()
    window = support.window(kind)
    families = [family.id for family in matrix.families.values() if kind in family.match.model_type]
    if window is None and not families:
        raise InputError(
            f"`{kind}` is neither a family of the matrix nor a model type that transformers ever knew",
            hint=_meant(kind, [*matrix.families, *support.model_types]),
        )
    spans = [
        [support.transformers[first].version, support.transformers[last].version]
        for first, last in support.model_types.get(kind, ())
    ]
    found = match({"model_type": kind}, None, matrix, support)
    pins = {} if families else dict(found.pins)
    if args.json:
        first, last = window or (None, None)
        console.document(
            1, {"model_type": kind, "first_release": first, "last_release": last, "spans": spans, "families": families,
                "pins": pins},
        )  # fmt: skip
        return 0
    known = f"transformers {' and '.join(_span(span, support) for span in spans)}" if spans else "in no release"
    lines = [f"model type {kind}: {known}", "", f"  families  {', '.join(families)}" if families else "  no family"]
    if pins:
        lines += [f"  pins      {', '.join(found.requirements)}",
                  f"            Python {found.python}, nothing newer than {found.exclude_newer}; static"]  # fmt: skip
    console.data(fitted(lines, indent=_INDENT))
    return 0


def _span(span: Sequence[str], support: Support) -> str:
    """`4.20.0 and later`, or `4.20.0 to 4.40.2` where it ended."""
    first, last = span
    return f"{first} and later (up to {last})" if last == support.transformers[-1].version else f"{first} to {last}"


def _meant(name: str, known: Sequence[str]) -> str:
    import difflib

    if "/" in name or Path(name).exists():
        return command_text("envpin", "matrix", "resolve", name)
    close = difflib.get_close_matches(name, set(known), n=3)
    return f"did you mean {', '.join(close)}?" if close else "envpin matrix list"


def _runs(names: Sequence[str]) -> list[str]:
    """The ids of runs, those of one environment together: `llama3.1:{load,merge}:4.43.1:0a1b2c3d`."""
    grouped: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        family, capability, *rest = name.split(":")
        grouped.setdefault((family, *rest), []).append(capability)
    return [
        f"evidence: {family}:{{{','.join(capabilities)}}}:{':'.join(rest)}"
        for (family, *rest), capabilities in grouped.items()
    ]


def _family_lines(
    family: Family,
    breaks: Sequence[Break],
    windows: dict[str, tuple[str, str | None] | None],
    support: Support,
    *,
    origin: str | None,
) -> list[str]:
    lines = [f"{family.title}  [{family.id}]", ""]
    if origin:
        lines.append(f"  overlay   {origin}")
    if family.models:
        lines.append(f"  models    {', '.join(family.models)}")
    for kind, window in windows.items():
        known = (
            f"transformers {window[0]} {'to ' + window[1] if window[1] else 'and later'}" if window else "in no release"
        )
        lines.append(f"  type      {kind}: {known}")
    if family.unpinnable:
        lines.append(f"  no pins   {family.unpinnable}")
    for name, requirement in family.requires.items():
        lines.append(f"  needs     {name} {requirement.versions}: {requirement.reason} ({requirement.grade})")
    lines += [f"  some need {one.package} {one.versions}: {one.reason} ({one.grade})" for one in family.conditions]
    for good in family.known_good:
        pins = ", ".join(f"{package}=={version}" for package, version in good.packages.items())
        lines += [f"  pins      {pins}", f"            Python {good.python}, nothing newer than {good.exclude_newer}",
                  f"            {good.grade}; {good.source}"]  # fmt: skip
        if good.lock:
            lines.append(f"            lock: pylock.{good.lock}.toml")
        lines += [f"            {line}" for line in _runs(good.evidence)]
    for statement in family.support:
        seen = f"seen at {statement.tested} of {counted(_released(statement, support), 'release')}"
        lines.append(f"  works     {statement.capability} with {statement.package} {statement.versions} ({seen})")
    lines += [f"  note      {note}" for note in family.notes]
    for entry in breaks:
        lines += [
            "",
            f"  break     {entry.title} ({entry.package} {entry.versions}{', silent' if entry.silent else ''})",
        ]
        if entry.silent and entry.crossing == "out-of":
            lines.append("            hits adapters that were trained inside these versions and are taken out of them")
        if entry.alongside:
            others = ", ".join(f"{name} {versions}" for name, versions in entry.alongside.items())
            lines.append(f"            only alongside {others}")
        lines += [f"            way out: {way}" for way in entry.ways_out]
        lines.append(f"            {entry.source}")
    return lines


def _released(statement: Statement, support: Support) -> int:
    """How many releases there are within a statement, yanked ones left out unless they were run."""
    return max(support.releases_inside(statement.versions, statement.package), statement.tested)
