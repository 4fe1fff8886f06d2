"""`envpin matrix resolve`: read what describes the model, match it, show the answer with its reasons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.cli.console.width import fitted
from envpin.cli.stack import asks_for_stack
from envpin.core.command_text import command_text
from envpin.matrix.match import match
from envpin.matrix.subject import find_subject
from envpin.matrix.support import load_support
from envpin.matrix.view import load_view

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.envs.refs.adapter_pins import AdapterPins
    from envpin.matrix.match import Match
    from envpin.matrix.subject import ModelSubject

_CERTAINTY = {
    "exact": "",
    "ambiguous": " (the likelier of several, see below)",
    "by name": " (by its name alone, which proves nothing)",
}


_BY_TYPE = " (by its type alone, see below)"


def run_resolve(args: argparse.Namespace, console: Console) -> int:
    """Exit status 1 where nothing was recognised, or no release knows the type."""
    if args.python or asks_for_stack(args):
        from envpin.cli.commands.matrix_resolve_stack import run_resolve_stack

        return run_resolve_stack(args, console)
    base = Path(args.base) if args.base else None
    subject = find_subject(args.model, base=base)
    matrix = load_view(Path(args.matrix) if args.matrix else None)
    found = match(subject.config, subject.name, matrix, load_support())
    if subject.foreign is not None:
        found = found._replace(evidence=())
    own = None
    if subject.adapter is not None:
        from envpin.envs.refs.adapter_pins import pins_of_adapter

        own = pins_of_adapter(subject.adapter, base=base)
    if args.json:
        console.document(1, _document(found, subject, own))
    else:
        console.data(fitted(_lines(found, subject, own), indent=12))
    return 1 if found.certainty == "unknown" and own is None else 0


def _document(found: Match, subject: ModelSubject, own: AdapterPins | None) -> dict[str, object]:
    family = found.family
    return {
        "family": family.id if family else None,
        "title": family.title if family else None,
        "kind": found.kind,
        "certainty": found.certainty,
        "basis": found.basis,
        "model_type": found.model_type,
        "name": subject.name,
        "origin": subject.origin,
        "evidence": found.evidence,
        "considered": [{"family": one.family, "reason": one.reason} for one in found.considered],
        "alternatives": found.alternatives,
        "pins": dict(own.pins if own else found.pins),
        "python": own.python if own else found.python,
        "exclude_newer": own.exclude_newer if own else found.exclude_newer,
        "pins_from": own.basis if own else "matrix" if found.pins else None,
        "lock": family.lock if family and found.pins == family.pins and own is None else None,
        "grade": own.basis if own else _grade(found),
        "requires": _joined(found),
        "transformers_version": found.transformers_version,
        "first_release": found.window[0] if found.window else None,
        "last_release": found.window[1] if found.window else None,
        "unpinnable": family.unpinnable if family else None,
        "breaks": family.breaks if family else (),
        "notes": found.notes,
    }


def _joined(found: Match) -> dict[str, str]:
    """Package to all that it needs, the conditions that hold included."""
    joined: dict[str, str] = {}
    for one in found.needs:
        joined[one.package] = f"{joined[one.package]},{one.versions}" if one.package in joined else one.versions
    return joined


def _grade(found: Match) -> str | None:
    if found.family and found.pins == found.family.pins and not _of_another_class(found):
        return found.family.grade
    if not found.pins:
        return None
    # Nothing of a remote-code model is in the wheels: its config alone says what it was saved with.
    return "declared" if found.kind == "remote-code" else "static"


def _of_another_class(found: Match) -> bool:
    """Whether the config is of the family by its type alone, so that the family's proof is none for it."""
    return found.certainty == "ambiguous" and not found.alternatives


def _lines(found: Match, subject: ModelSubject, own: AdapterPins | None) -> list[str]:
    family = found.family
    if family:
        certainty = _BY_TYPE if _of_another_class(found) else _CERTAINTY[found.certainty]
        lines = [f"{family.title}  [{family.id}]{certainty}"]
    elif found.kind == "other":
        lines = ["out of scope"]
    elif found.certainty in {"not listed", "by name"}:
        lines = [f"not in the matrix; what is known about the type `{found.model_type}`:"]
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
    lines += ["", *_pins(found, own)]
    if found.basis == "none" and subject.name is not None and own is None:
        lines.append("  hint      give its folder or config.json, which says what it is; families: envpin matrix list")
    return lines


def _pins(found: Match, own: AdapterPins | None) -> list[str]:
    family = found.family
    lines: list[str] = []
    if found.window:
        first, last = found.window
        lines.append(
            f"  type      {found.model_type} is in transformers {first}" + (f" to {last}" if last else " and later")
        )
    lines += [f"  needs     {one.package} {one.versions}: {one.reason}" for one in found.needs]
    if family and family.unpinnable:
        lines.append(f"  no pins   {family.unpinnable}")
    if own is not None:
        lines += [f"  pins      {', '.join(own.requirements)}", f"            {own.described}"]
        lines += [f"            {line}" for line in own.evidence]
    elif found.pins:
        title = "try" if found.kind == "remote-code" else "pins"
        lines.append(f"  {title:<9} {', '.join(found.requirements)}")
        newest = f", nothing newer than {found.exclude_newer}" if found.exclude_newer else ""
        lines.append(f"            Python {found.python or '3.11'}{newest}; {_grade(found)}")
    lines += [f"  note      {note}" for note in found.notes]
    if family:
        lines += [f"  breaks    {name}" for name in family.breaks]
    if own is not None:
        lines += ["", f"  {command_text('envpin', 'env', 'create', own.reference)}"]
    elif found.pins:
        whole = family is not None and found.pins == family.pins
        reference = family.id if family and whole else ",".join(found.requirements)
        lines += ["", f"  {command_text('envpin', 'env', 'create', reference)}"]
    elif found.certainty == "unknown" and found.model_type:
        own_code = "its own code runs with trust_remote_code, in the environment that its README names"
        newer = "a release newer than what was collected may know it: envpin matrix collect"
        lines += [f"  hint      {own_code if found.kind == 'remote-code' else newer}"]
    return lines
