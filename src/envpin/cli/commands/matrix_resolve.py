"""`envpin matrix resolve`: read what describes the model, match it, show the answer with its reasons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.cli.console.width import room, wrapped
from envpin.matrix.match import match
from envpin.matrix.subject import find_subject
from envpin.matrix.support import load_support
from envpin.matrix.view import load_view

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.matrix.match import Match
    from envpin.matrix.subject import ModelSubject

_CERTAINTY = {
    "exact": "",
    "ambiguous": " (the likelier of several, see below)",
    "nearest": " (the nearest; this model itself is not in the matrix)",
    "unknown": "",
}


def run_resolve(args: argparse.Namespace, console: Console) -> int:
    """Exit status 1 where nothing was recognised."""
    subject = find_subject(args.model, base=Path(args.base) if args.base else None)
    matrix = load_view(Path(args.matrix) if args.matrix else None)
    found = match(subject.config, subject.name, matrix, load_support())
    if subject.foreign is not None:
        found = found._replace(evidence=())
    if args.json:
        console.document(1, _document(found, subject))
    else:
        console.data("\n".join(wrapped(_lines(found, subject), indent=12, width=room())))
    return 1 if found.certainty == "unknown" else 0


def _document(found: Match, subject: ModelSubject) -> dict[str, object]:
    family = found.family
    return {
        "family": family.id if family else None,
        "title": family.title if family else None,
        "kind": family.kind if family else None,
        "certainty": found.certainty,
        "basis": found.basis,
        "model_type": found.model_type,
        "name": subject.name,
        "origin": subject.origin,
        "evidence": found.evidence,
        "considered": [{"family": one.family, "reason": one.reason} for one in found.considered],
        "alternatives": found.alternatives,
        "pins": dict(found.pins),
        "python": found.python,
        "exclude_newer": found.exclude_newer,
        "lock": family.lock if family and found.pins == family.pins else None,
        "grade": _grade(found),
        "requires": {name: one.versions for name, one in family.requires.items()} if family else {},
        "transformers_version": found.transformers_version,
        "first_release": found.window[0] if found.window else None,
        "last_release": found.window[1] if found.window else None,
        "unpinnable": family.unpinnable if family else None,
        "breaks": family.breaks if family else (),
        "notes": family.notes if family else (),
    }


def _grade(found: Match) -> str | None:
    if found.family and found.pins == found.family.pins and found.certainty in {"exact", "ambiguous"}:
        return found.family.grade
    if not found.pins:
        return None
    # Nothing of a remote-code model is in the wheels: its config alone says what it was saved with.
    return "declared" if found.family and found.family.kind == "remote-code" else "static"


def _lines(found: Match, subject: ModelSubject) -> list[str]:
    family = found.family
    if family:
        lines = [f"{family.title}  [{family.id}]{_CERTAINTY[found.certainty]}"]
    elif found.certainty == "nearest":
        lines = [f"not in the matrix; what the index knows about `{found.model_type}`:"]
    else:
        lines = ["nothing was recognised"]
    lines += ["", *(f"  because   {line}" if at == 0 else f"            {line}"
                    for at, line in enumerate((*subject.origin, *found.evidence)))]  # fmt: skip
    if found.alternatives:
        lines += ["", f"  could be  {', '.join(found.alternatives)}"]
    shown = [one for one in found.considered if one.family not in found.alternatives]
    lines += [f"  {'not':<9} {one.family}: {one.reason}" for one in shown[:6]]
    if len(shown) > 6:
        lines.append(f"            … and {len(shown) - 6} more (--json shows all)")
    lines += ["", *_pins(found)]
    return lines


def _pins(found: Match) -> list[str]:
    family = found.family
    lines: list[str] = []
    if found.window:
        first, last = found.window
        lines.append(
            f"  type      {found.model_type} is in transformers {first}" + (f" to {last}" if last else " and later")
        )
    if family:
        lines += [f"  needs     {name} {one.versions}: {one.reason}" for name, one in family.requires.items()]
    if family and family.unpinnable:
        lines.append(f"  no pins   {family.unpinnable}")
    if found.pins:
        title = "try" if family and family.unpinnable else "pins"
        lines.append(f"  {title:<9} {', '.join(found.requirements)}")
        lines.append(f"            Python {found.python}, nothing newer than {found.exclude_newer}; {_grade(found)}")
    if family:
        lines += [f"  note      {note}" for note in family.notes]
        lines += [f"  breaks    {name}" for name in family.breaks]
    if found.pins:
        reference = (
            family.id
            if family and found.pins == family.pins and found.certainty != "nearest"
            else ",".join(found.requirements)
        )
        lines += ["", f"  envpin env create {reference}"]
    return lines
