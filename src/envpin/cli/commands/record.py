"""`envpin record [-o FILE] -- CMD…`: run a training command unchanged; leave envpin.json beside what it saves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core import process
from envpin.core.errors import EnvpinError, InputError, UsageError
from envpin.core.sizes import counted
from envpin.recording.session import RecordSession

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.core.findings import Finding
    from envpin.manifest.types import Manifest
    from envpin.recording.session import RecordOutcome

takes_child = True
_FAULTS_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "envpin record [-o FILE] [--no-diff] [--json] -- CMD…\n"
        "       envpin record --attach FOLDER [--python PATH] [--base B] [--force] [--json]"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="also write the last manifest to FILE")
    parser.add_argument(
        "--no-diff", action="store_true", help="do not keep the changes of tracked files (envpin.patch)"
    )
    parser.add_argument(
        "--check-determinism", action="store_true", help="list what would keep the run from being repeated, with fixes"
    )
    attach = parser.add_argument_group("for a run that was not recorded")
    attach.add_argument("--attach", type=Path, metavar="FOLDER", help="write a manifest for what was trained just now")
    attach.add_argument(
        "--python",
        type=Path,
        metavar="PATH",
        help="the interpreter that trained it (default: the active environment's)",
    )
    attach.add_argument("--base", metavar="B", help="the base's folder, where it is not found by itself")
    attach.add_argument("--force", action="store_true", help="overwrite a manifest that is there")
    parser.epilog = (
        "The command follows `--` and is run as it is: same input, output, terminal, signals and exit status. Whatever "
        "recording runs into is told on stderr after the run and changes nothing about it."
    )


def run(args: argparse.Namespace, console: Console) -> int:
    if args.attach is not None:
        return _attach(args, console)
    if args.python is not None or args.base is not None or args.force:
        raise UsageError(
            "--python, --base and --force go with --attach", hint="envpin record --attach FOLDER --python PATH"
        )
    if not args.child:
        raise UsageError("no command to record", hint="envpin record -- python train.py")
    if args.output is not None:
        _check_output(args.output)  # now, and not after hours of training
    session = RecordSession(args.child, os.environ, code_diff=not args.no_diff)
    try:
        findings = _ToldFindings(console, whole=args.check_determinism)
        beginning = session.when_it_begins(findings.tell)
        try:
            status = process.run_attached(args.child, env=session.environment)
        finally:
            if beginning is not None:
                beginning.stop()
    except BaseException:
        session.close()
        raise
    # From here on the status of the run is settled: nothing that recording runs into may turn it into another one.
    try:
        _finish(session, args, status, console, findings)
    except KeyboardInterrupt:
        console.warn("interrupted after the run was over: its records may be incomplete")
    except Exception as failed:  # noqa: BLE001
        console.warn(f"while recording: {type(failed).__name__}: {failed}")
    finally:
        session.close()
    return status


class _ToldFindings:
    """What may keep the run from being repeated: told when the training begins, and afterwards what was not yet known.

    `whole`: with evidence and fixes, not codes alone.
    """

    def __init__(self, console: Console, *, whole: bool) -> None:
        self._console = console
        self._whole = whole
        self._codes: set[str] | None = None
        self.findings: tuple[Finding, ...] = ()

    def tell(self, manifest: Manifest) -> None:
        from envpin.diagnose.determinism import determinism_findings

        self.findings = determinism_findings(manifest)
        known, self._codes = self._codes, {one.code for one in self.findings}
        fresh = [one for one in self.findings if one.code not in (known or ())]
        if self._whole:
            from envpin.cli.console.findings import render_findings

            if fresh:
                self._console.talk(render_findings(fresh))
            elif known is None:
                self._console.talk("nothing that was recorded keeps the run from repeating")
            return
        warned = dict.fromkeys(one.code for one in fresh if one.severity != "info")
        if warned:
            self._console.talk(
                f"a repeat of this run may differ: {', '.join(warned)} (--check-determinism says why and how to fix it)"
            )


def _finish(
    session: RecordSession, args: argparse.Namespace, status: int, console: Console, findings: _ToldFindings
) -> None:
    outcome = session.finish(console.talk, status=status)
    copied = _copy(outcome, args.output, console)
    session.close()
    _tell(outcome, console)
    if outcome.manifests:
        from envpin.manifest.read import read_manifest

        findings.tell(read_manifest(outcome.manifests[-1]))
    if console.json_mode:
        import msgspec

        console.document(
            1,
            {
                "status": status,
                "manifests": [str(path) for path in outcome.manifests],
                "output": copied,
                "nothing": outcome.nothing,
                "faults": list(outcome.faults),
                "slowest_save_seconds": outcome.seconds,
                "findings": msgspec.to_builtins(findings.findings),
            },
        )


def _attach(args: argparse.Namespace, console: Console) -> int:
    from envpin.recording.attach import attach

    if args.child or args.output is not None:
        raise UsageError("--attach is for a run that is over: it takes no command and no -o")
    done = attach(args.attach, python=args.python, base=args.base, overwrite=args.force)
    for line in done.warnings:
        console.warn(line)
    if console.json_mode:
        console.document(1, {"manifest": str(done.path), "checked": list(done.checked),
                             "declared": list(done.declared), "warnings": list(done.warnings)})  # fmt: skip
        return 0
    lines = [f"wrote    {done.path}"]
    lines += [f"checked  {line}" for line in done.checked]
    lines += [f"declared {line}" for line in done.declared]
    console.data("\n".join(lines))
    return 0


def _check_output(output: Path) -> None:
    folder = output.absolute().parent
    if output.is_dir():
        raise InputError(f"`{output}` is a folder", path=output, hint="name a file: `-o run.envpin.json`")
    if not folder.is_dir():
        raise InputError(f"`{folder}` does not exist, so `{output}` cannot be written", path=output)
    if not os.access(folder, os.W_OK):
        raise InputError(f"`{folder}` may not be written to", path=output)


def _copy(outcome: RecordOutcome, output: Path | None, console: Console) -> str | None:
    if output is None or not outcome.manifests:
        return None
    from envpin.core.text_input import read_text
    from envpin.manifest.write import write_text

    try:
        write_text(output.absolute(), read_text(outcome.manifests[-1]))
    except (EnvpinError, OSError) as failed:
        console.warn(str(failed))  # the training run has succeeded or failed by itself: its status stays
        return None
    return str(output)


def _tell(outcome: RecordOutcome, console: Console) -> None:
    for path in outcome.manifests:
        console.talk(f"recorded {_short(path)}")
    for fault in outcome.faults[:_FAULTS_SHOWN]:
        console.warn(f"while recording: {fault}")
    if len(outcome.faults) > _FAULTS_SHOWN:
        console.warn(f"while recording: {counted(len(outcome.faults) - _FAULTS_SHOWN, 'more fault')}")
    if outcome.nothing is not None:
        console.warn(outcome.nothing)


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
