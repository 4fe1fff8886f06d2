"""`envpin bisect log|replay|skip|status`: what is known about searches, without running a probe (but for `replay`)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace
from packaging.utils import canonicalize_name, is_normalized_name

from envpin.bisect.question import Question, contents_digest
from envpin.bisect.report.report import make_report
from envpin.bisect.search.axis import Axis
from envpin.bisect.search.search import Run, decide
from envpin.bisect.session.history import Log, read_records, runs_now
from envpin.bisect.session.moves import ChangedQuestion, ends_of
from envpin.bisect.session.secrets import is_same_command
from envpin.bisect.session.session import observations
from envpin.bisect.session.start import folder_of, open_session, problem_of
from envpin.cli.console.width import fitted
from envpin.cli.render.bisect_answer import headline
from envpin.core.command_text import command_text
from envpin.core.errors import InputError, RefusedError, UsageError
from envpin.core.sizes import counted
from envpin.envs.locks.requirements import check_requirements
from envpin.envs.machine import default_root

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from envpin.bisect.question import ProbeQuestion
    from envpin.cli.console.console import Console


_SAID = 120


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the named verb; what it works on follows it on the command line."""
    if args.good or args.bad or (args.child and args.package != "replay"):
        raise UsageError(f"`bisect {args.package}` takes no ends and no command", hint="envpin bisect --help")
    verbs = {"log": _log, "replay": _replay, "skip": _skip, "status": _status}
    return verbs[args.package](args, console)


def _log(args: argparse.Namespace, console: Console) -> int:
    log = _find(args.rest)
    if console.json_mode:
        console.document(1, {"path": str(log.path), "records": log.records})
    else:
        console.data(log.path.read_text(encoding="utf-8"))
    return 0


def _status(args: argparse.Namespace, console: Console) -> int:
    logs = [_find(args.rest)] if args.rest else _logs()
    found = [_summary(log) for log in logs]
    if console.json_mode:
        console.document(1, {"searches": found})
        return 0
    if not found:
        console.talk("no search has been made yet")
    for one in found:
        what = f"{one['id']}  {one['package']} {one['good']} … {one['bad']}  {one['probe']}"
        state = f"    {counted(int(str(one['probes'])), 'probe')}, {one['state']}"
        console.data(fitted([what, state], indent=8))
    return 0


def _skip(args: argparse.Namespace, console: Console) -> int:
    """Leave releases, or packages that moved, out of the last search that knows them all."""
    if not args.rest:
        raise UsageError("`bisect skip` needs what to leave out", hint="envpin bisect skip 4.44.0")
    newest = _find([])
    # Behind a search over environments come those inside its packages: the words tell which one is meant.
    for log in _logs():
        field, known = _skippable(log)
        wanted = [str(canonicalize_name(word)) if field == "package" else word for word in args.rest]
        if known.issuperset(wanted):
            for word in wanted:
                name = "package" if field == "package" else "version"
                log.append("skip", reason="left out by the user", **{name: word})
            console.talk(f"left out of `{log.path.parent.name}`: {', '.join(wanted)}")
            return 0
    field, known = _skippable(newest)
    unknown = [f"`{word}`" for word in args.rest if word not in known] or [f"`{word}`" for word in args.rest]
    raise InputError(
        f"{', '.join(unknown)} is not among the {field}s of search `{newest.path.parent.name}`, nor of an earlier one",
        hint="envpin bisect status",
    )


def _skippable(log: Log) -> tuple[str, frozenset[str]]:
    """What a search's skips name, and which of them it knows."""
    if _is_of_environments(log):
        question = msgspec.convert(log.records[0]["question"], ChangedQuestion)
        return "package", ends_of(log, question).everything if log.last("ends") else frozenset()
    setup = log.last("setup")
    return "release", frozenset(msgspec.convert(setup["axis"], Axis).versions if setup else ())


def _replay(args: argparse.Namespace, console: Console) -> int:
    """Take over somebody's log and go on where it ends. Their verdicts count, so their machine is trusted; a command
    of theirs runs here only where the user gives it as well.

    Raises:
        RefusedError: the log's probe is a command that was not given.
    """
    from envpin.cli.commands.bisect_run import options_of, page_of
    from envpin.cli.render.bisect import BisectView

    if len(args.rest) != 1:
        raise UsageError("`bisect replay` needs one log file", hint="envpin bisect replay log.jsonl")
    source = Path(args.rest[0])
    records, _ = read_records(source)
    if not records:
        raise InputError(f"`{source}` is empty", path=source)
    if _is_of_environments(Log(source)):
        return _replay_environments(source, args, console)
    question = _question(records[0], source)
    _allow(question.probe, source, args, console)
    # As it was given: that of the log may lack its secrets.
    question = replace(question, probe=replace(question.probe, command=tuple(args.child)))
    _take_over(source, question.identity, len(records))
    view = BisectView(console, question)
    session, problem = open_session(question, options_of(args, view.listener, view.on_record))
    view.begin(session, problem)
    session.run(problem)
    return view.finish(session, html=page_of(args))


def _replay_environments(source: Path, args: argparse.Namespace, console: Console) -> int:
    from envpin.cli.commands.bisect_envs import search

    log = Log(source)
    try:
        question = msgspec.convert(log.records[0]["question"], ChangedQuestion)
    except ValueError as fault:  # msgspec's, or of a key that is no text
        raise InputError(f"`{source}` asks no question that this envpin understands: {fault}", path=source) from fault
    ends = ends_of(log, question)
    _allow(question.probe, source, args, console)
    question = replace(question, probe=replace(question.probe, command=tuple(args.child)))
    _take_over(source, question.identity, len(log.records))
    return search(question, ends, args, console)


def _allow(probe: ProbeQuestion, source: Path, args: argparse.Namespace, console: Console) -> None:
    """Whether the probe of somebody's log may run here."""
    given = tuple(args.child)
    if not is_same_command(given, probe):
        if not probe.command:
            raise UsageError(f"the probe of `{source}` is no command: leave out what follows `--`")
        raise RefusedError(
            f"the probe of `{source}` is a command, which runs here only if you give it as well",
            hint=command_text("envpin", "bisect", "replay", source, "--", *probe.command),
        )
    for folder in (probe.adapter, probe.base):
        if folder is not None and not Path(folder).is_dir():
            raise InputError(f"the probe of `{source}` needs the folder `{folder}`, which is not here", path=folder)
    read = (*filter(None, (probe.adapter, probe.base)), *(word for word in given if Path(word).is_file()))
    if contents_digest(read) != probe.contents:
        console.warn("what the probe reads is not what it was for the log's verdicts, which may not hold here")


def _take_over(source: Path, identity: str, count: int) -> None:
    """Copy the log to where its search is looked for, unless what is there knows more."""
    target = folder_of(default_root(), identity) / "log.jsonl"
    if target.exists() and len(read_records(target)[0]) >= count:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _question(record: dict[str, object], path: Path) -> Question:
    try:
        question = msgspec.convert(record["question"], Question)
        if not is_normalized_name(question.package):
            raise InputError(f"`{question.package[:80]}` is not the name of a package")
        check_requirements((f"{question.package}=={question.old}", *question.held))
    except (KeyError, ValueError, InputError) as fault:
        raise InputError(f"`{path}` asks no question that this envpin understands: {fault}", path=path) from fault
    return question


def _logs() -> list[Log]:
    """Every log, the one that was written last first. A damaged one does not hide the others."""
    paths = sorted(folder_of(default_root(), "x").parent.glob("*/log.jsonl"), key=lambda path: -path.stat().st_mtime)
    found = []
    for path in paths:
        try:
            log = Log(path)
        except InputError:
            continue
        if log.records:
            found.append(log)
    return found


def _find(words: list[str]) -> Log:
    """The log whose search is named (the start of its name is enough), else the last one.

    Raises:
        InputError: there is none, or several.
    """
    if not words:
        logs = _logs()
        if not logs:
            raise InputError("no search has been made yet", hint="envpin bisect PACKAGE --good V --bad V …")
        return logs[0]
    folder = folder_of(default_root(), "x").parent
    matches = sorted(folder.glob(f"{words[0]}*/log.jsonl")) if words[0].replace("-", "").isalnum() else []
    if len(matches) != 1:
        raise InputError(
            f"`{words[0]}` names {len(matches) or 'no'} searches" if matches else f"there is no search `{words[0]}`",
            hint="envpin bisect status",
        )
    return Log(matches[0])


def _summary(log: Log) -> dict[str, object]:
    if _is_of_environments(log):
        return _summary_of_environments(log)
    question = _question(log.records[0], log.path)
    setup, last = log.last("setup"), log.records[-1]
    state = _unfinished(last)
    if setup is not None:
        axis = msgspec.convert(setup["axis"], Axis)
        report = make_report(log.records, axis)
        if report is not None and last["event"] == "conclusion":
            state = f"finished: {headline(report)}"
        else:
            step = decide(problem_of(question, setup), observations(log.records, axis, find=question.find))
            state += f"; next: {axis.versions[step.index]} ({step.purpose})" if isinstance(step, Run) else ""
    return {
        "id": log.path.parent.name,
        "package": question.package,
        "good": question.good,
        "bad": question.bad,
        "probe": question.probe.title,
        "probes": len(log.all("probe")),
        "state": "running" if runs_now(log) else state,
        "log": str(log.path),
    }


def _summary_of_environments(log: Log) -> dict[str, object]:
    question = msgspec.convert(log.records[0]["question"], ChangedQuestion)
    last = log.records[-1]
    done = last["event"] == "minimal"
    return {
        "id": log.path.parent.name,
        "package": "environments",
        "good": question.good,
        "bad": question.bad,
        "probe": question.probe.title,
        "probes": len(log.all("set")),
        "state": "running"
        if runs_now(log)
        else f"finished: {', '.join(last['needed'])}"
        if done
        else _unfinished(last),
        "log": str(log.path),
    }


def _unfinished(last: Mapping[str, Any]) -> str:
    if last["event"] == "stopped":
        said = (last["message"].splitlines() or [""])[0]
        return f"stopped: {said if len(said) < _SAID else said[: _SAID - 1] + '…'}"
    return "unfinished, run the same command again"


def _is_of_environments(log: Log) -> bool:
    return "good_lock" in log.records[0].get("question", {})
