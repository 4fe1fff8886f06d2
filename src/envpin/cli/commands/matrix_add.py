"""`envpin matrix add --from FILE`: evidence into a matrix, after it was held against what the matrix says."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.core.errors import CheckFailedError, InfrastructureError
from envpin.core.files import write_atomically
from envpin.core.resources import data_path
from envpin.core.sizes import counted, verb
from envpin.core.text_input import read_text
from envpin.evidence.add import Additions, contradictions, plan_additions, without
from envpin.evidence.edit import edited
from envpin.matrix.load import load_matrix, parse_matrix
from envpin.matrix.results import (
    KIND,
    SCHEMA,
    EvidenceFile,
    encode_results,
    evidence_path,
    load_results,
    read_document,
)
from envpin.matrix.support import load_support
from envpin.matrix.where import overlay_path, usual_overlay

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from envpin.cli.console.console import Console
    from envpin.matrix.types import Matrix


@dataclass(frozen=True, kw_only=True, slots=True)
class _Target:
    """The file to edit: its text, what it is put on top of, and the evidence beside it."""

    path: Path
    text: str
    below: Matrix | None
    evidence: Path

    def parse(self, text: str) -> Matrix:
        return parse_matrix(text, source=str(self.path), on_top_of=self.below)


def run_add(args: argparse.Namespace, console: Console) -> int:
    """Exit status 1, and nothing written, where the evidence contradicts the matrix; `--keep-going` writes the rest.

    Raises:
        InputError: a file cannot be read; every problem with its place.
        InfrastructureError: a file cannot be written.
    """
    return apply_evidence(args, _joined([read_document(Path(one)) for one in args.source]), console)


def apply_evidence(args: argparse.Namespace, document: EvidenceFile, console: Console) -> int:
    """What `matrix add` does with a document; `args` are those of `add_options`. Raises as `run_add`."""
    target = _target(args.matrix)
    matrix = target.parse(target.text)
    kept = {**load_results(), **load_results(target.evidence)} if target.below else load_results(target.evidence)
    refused = contradictions(matrix, kept, document, replace=args.replace)
    if refused and not args.keep_going:
        lines = "\n".join(f"  {line}" for _, line in refused)
        raise CheckFailedError(
            f"the evidence contradicts `{target.path}`; nothing was written\n{lines}",
            hint="correct the matrix or the evidence; `--keep-going` adds what does not contradict it",
        )
    additions = plan_additions(matrix, kept, without(document, (name for name, _ in refused)), support=load_support())
    text = _new_text(target, additions)
    if not args.dry_run and (additions.fresh or text != target.text):
        _write(target, text, additions)
    _tell(console, target, text, additions, refused=[line for _, line in refused], dry_run=args.dry_run)
    return 1 if refused else 0


def _target(option: str | None) -> _Target:
    if option is not None:
        path = Path(option)
        load_matrix(path)  # for its errors
        return _Target(path=path, text=read_text(path), below=None, evidence=evidence_path(path))
    path = overlay_path() or usual_overlay()
    text = read_text(path) if path.exists() else "schema = 1\n"
    shipped = load_matrix(data_path("compat_matrix.toml"))
    return _Target(path=path, text=text, below=shipped, evidence=evidence_path(path))


def _joined(documents: Sequence[EvidenceFile]) -> EvidenceFile:
    entries = tuple(entry for document in documents for entry in document.entries)
    breaks = {key: entry for document in documents for key, entry in document.breaks.items()}
    return EvidenceFile(schema=SCHEMA, kind=KIND, entries=entries, breaks=breaks)


def _new_text(target: _Target, additions: Additions) -> str:
    """The edited matrix, read again to be sure that it is one."""
    if not additions.changes_matrix:
        return target.text
    lender = data_path("compat_matrix.toml").read_text(encoding="utf-8") if target.below is not None else None
    text = edited(target.text, additions, borrow_from=lender, source=str(target.path))
    target.parse(text)
    return text


def _write(target: _Target, text: str, additions: Additions) -> None:
    """The evidence first: a kill in between leaves runs that nothing refers to, never a reference to nothing."""
    shipped = load_results() if target.below is not None else {}
    own = [entry for key, entry in additions.entries.items() if shipped.get(key) != entry]
    try:
        write_atomically(target.evidence, encode_results(own), parents=True)
        if text != target.text or not target.path.exists():
            write_atomically(target.path, text.encode(), parents=True)
    except OSError as error:
        raise InfrastructureError(
            f"`{error.filename or target.path}` cannot be written: {error.strerror}", hint="choose another `--matrix`"
        ) from error


def _tell(
    console: Console, target: _Target, text: str, additions: Additions, *, refused: list[str], dry_run: bool
) -> None:
    diff = "".join(
        difflib.unified_diff(
            target.text.splitlines(keepends=True), text.splitlines(keepends=True),
            str(target.path), f"{target.path} (with the evidence)",
        )
    )  # fmt: skip
    if console.json_mode:
        console.document(1, {
            "matrix": str(target.path), "evidence": str(target.evidence), "written": not dry_run, "diff": diff,
            "entries": additions.fresh, "refused": refused, "notes": additions.notes,
            "raised": [{"family": one.family, "known_good": one.index, "grade": one.grade} for one in additions.raised],
            "tuples": msgspec.to_builtins(additions.tuples),
            "statements": msgspec.to_builtins(additions.statements),
            "breaks": [*additions.breaks, *additions.computed.breaks],
            "attached": [one.name for one in additions.attached],
            "conditions": [{"family": one.family, "index": one.index, "grade": one.grade}
                           for one in additions.conditions],
        })  # fmt: skip
        return
    for line in refused:
        console.talk(f"refused  {line}")
    for line in additions.notes:
        console.talk(f"note     {line}")
    if dry_run and diff:
        console.data(diff)
    for line in _changes(additions):
        console.talk(line)
    count = len(additions.fresh)
    are = "would be" if dry_run else verb(count, "is", "are")
    console.talk(f"{counted(count, 'new entry')} {are} in {target.evidence}" if count
                 else "no evidence that was not known already")  # fmt: skip
    if text != target.text:
        console.talk(f"{target.path} {'would be' if dry_run else 'is'} changed")


def _changes(additions: Additions) -> Iterator[str]:
    for one in additions.raised:
        yield f"grade    {one.family}: {one.grade}, by {counted(len(one.evidence), 'run')}"
    for name, good in additions.tuples.items():
        pins = ", ".join(f"{package} {version}" for package, version in good.packages.items())
        yield f"tuple    {name}: {pins}, {good.grade}"
    for name, statements in additions.statements.items():
        for its in statements:
            yield f"states   {name}: {its.capability} with {its.package} {its.versions}, {its.tested} tested"
    for key in additions.breaks:
        yield f"break    {key}"
    for key, entry in additions.computed.breaks.items():
        yield f"break    {key}: {entry.title}"
    for key in additions.computed.gone:
        yield f"break    {key}: no run gives it any more"
    for proved in additions.conditions:
        yield f"condition {proved.family}[{proved.index}]: {proved.grade}, by {counted(len(proved.evidence), 'run')}"
    for found in additions.attached:
        yield f"break    {found.name}: {found.grade}, by {counted(len(found.evidence), 'run')}"
