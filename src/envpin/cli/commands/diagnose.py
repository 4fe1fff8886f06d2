"""`envpin diagnose LOG|-`: the causes that a log shows; with the files at hand, the cause that the files prove."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.core.errors import InputError, UsageError
from envpin.core.sizes import counted

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.diagnose.logs.reader import Diagnosis
    from envpin.diagnose.subject import CheckReport

takes_child = False
_ROWS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("log", metavar="LOG", help="a traceback, training log or CI output; - reads stdin")
    parser.add_argument("--adapter", type=Path, help="prove the cause on this adapter (or model) folder")
    parser.add_argument("--base", help="the base model: a folder, or an id that is in the Hub cache")


def run(args: argparse.Namespace, console: Console) -> int:
    """Exit status 0: at least one cause was recognised. 1: none was."""
    if args.base is not None and args.adapter is None:
        hint = command_text("envpin", "diagnose", args.log, "--adapter", "ADAPTER", "--base", args.base)
        raise UsageError("`--base` goes with `--adapter`", hint=hint)
    diagnosis = _read(args.log)
    proof = _proof(args.adapter, args.base) if args.adapter is not None else None
    if console.json_mode:
        console.document(1, _document(diagnosis, proof))
    else:
        _render(args.log, diagnosis, proof, console)
    return 0 if diagnosis.findings or (proof is not None and proof.blockers) else 1


def _proof(adapter: Path, base: str | None) -> CheckReport:
    from envpin.diagnose.check import check

    return check(adapter, base=base)


def _read(name: str) -> Diagnosis:
    from envpin.core.files import open_unless_deserted
    from envpin.diagnose.logs.reader import diagnose_log

    if name == "-":
        if sys.stdin is None:
            raise InputError("stdin is closed, so no log can be read from it", hint="envpin diagnose LOG")
        return diagnose_log(sys.stdin.buffer)
    path = Path(name)
    try:
        # a pipe is welcome: `envpin diagnose <(tail -n 500 train.log)`
        with open_unless_deserted(path) as stream:
            return diagnose_log(stream)
    except OSError as error:
        hint = "envpin diagnose LOG, or … 2>&1 | envpin diagnose -"
        raise InputError(f"`{name}` cannot be read: {error.strerror}", path=path, hint=hint) from error


def _render(log: str, diagnosis: Diagnosis, proof: CheckReport | None, console: Console) -> None:
    from envpin.cli.console.findings import render_findings, render_table, wrapped

    if diagnosis.findings:
        console.data(f"{counted(len(diagnosis.findings), 'cause')} "
                     f"in {counted(diagnosis.lines, 'line')}")  # fmt: skip
        if diagnosis.mismatches:
            rows = [
                (one.parameter, str(list(one.found)), str(list(one.expected))) for one in diagnosis.mismatches[:_ROWS]
            ]
            console.data("")
            console.data(render_table(("parameter", "in the checkpoint", "in the model"), rows))
            if len(diagnosis.mismatches) > _ROWS:
                console.data(f"… and {len(diagnosis.mismatches) - _ROWS} more")
        console.data("")
        console.data(render_findings(diagnosis.findings))
        if proof is not None:
            console.data("\n" + "\n".join(_on_the_files(diagnosis, proof)))
    else:
        console.data(wrapped(_nothing(log, diagnosis.lines)))
    if proof is not None and proof.findings:
        console.data(f"\non the files of the adapter{_against(proof)}:\n")
        console.data(render_findings(proof.findings))


def _on_the_files(diagnosis: Diagnosis, proof: CheckReport) -> list[str]:
    """Of each cause whether the files show it, too."""
    proven = {one.code for one in proof.findings}
    reason = f" ({proof.not_compared})" if proof.not_compared else ""
    return [
        f"proven on the files: {one.code}" if one.code in proven else f"not proven on the files: {one.code}{reason}"
        for one in diagnosis.findings
    ]


def _against(proof: CheckReport) -> str:
    return f", against {proof.base.path}" if proof.base is not None else ""


def _nothing(log: str, lines: int) -> str:
    if lines == 0:
        what = "stdin" if log == "-" else f"`{log}`"
        hint = "envpin diagnose LOG, or … 2>&1 | envpin diagnose -"
        return f"{what} is empty: there is nothing to recognise\n\nhint: {hint}"
    return (
        f"nothing in {counted(lines, 'line')} is recognised\n\n"
        "For a report, attach: the whole traceback (from `Traceback` to the last line), `pip freeze`, and what "
        "`envpin check ADAPTER --json` prints for the folders that the command loads."
    )


def _document(diagnosis: Diagnosis, proof: CheckReport | None) -> dict[str, object]:
    import msgspec

    body: dict[str, object] = {
        "recognised": bool(diagnosis.findings),
        "lines": diagnosis.lines,
        "findings": msgspec.to_builtins(diagnosis.findings),
        "mismatches": msgspec.to_builtins(diagnosis.mismatches),
    }
    if proof is not None:
        body["files"] = {
            "findings": msgspec.to_builtins(proof.findings),
            "mismatches": msgspec.to_builtins(proof.mismatches),
        }
        codes = {one.code for one in proof.findings}
        body["proven"] = list(dict.fromkeys(one.code for one in diagnosis.findings if one.code in codes))
    return body
