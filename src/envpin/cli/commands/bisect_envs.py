"""`envpin bisect --good REF --bad REF`: which moves of a changed environment broke it, then which release of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from envpin.bisect.environments.mixing import Ends
from envpin.bisect.report.report import make_report
from envpin.bisect.session.moves import ChangedQuestion, ChangedSession, inner_question
from envpin.bisect.session.outcome import ProbeOutcome
from envpin.bisect.session.secrets import record_without_secrets
from envpin.bisect.session.start import open_session
from envpin.cli.commands.bisect_run import options_of, page_of, probe_of
from envpin.cli.console.width import fitted
from envpin.cli.render.bisect import BisectView, clipped, document, write_files
from envpin.core.errors import InputError, UsageError
from envpin.core.events import Note
from envpin.core.sizes import counted, verb
from envpin.envs.refs.pins import Resolver
from envpin.envs.refs.resolve import resolve
from envpin.manifest.write import write_text
from envpin.report.bisect_page import render_environments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from envpin.bisect.environments.changed import Minimal, PackageChange
    from envpin.cli.console.console import Console
    from envpin.core.events import Event
    from envpin.envs.locks.lock import Lock


def run(args: argparse.Namespace, console: Console) -> int:
    """Find the minimal set, then the release inside each of its members."""
    if args.find is not None:
        raise UsageError("`--find` is for the versions of one package; two environments have no order")
    if args.held:
        raise UsageError("`--with` is for the releases of one package; put the pin into both environments")
    if not args.good or not args.bad:
        raise UsageError("both ends are needed: `--good REF` and `--bad REF`", hint="envpin bisect --help")
    probe, listener = probe_of(args, None), Table(console).listener
    resolver = Resolver(python=args.python, offline=args.offline, listener=listener)
    good = resolve(args.good, resolver)
    bad = resolve(args.bad, replace(resolver, python=good.python))
    question = ChangedQuestion(
        good=args.good,
        bad=args.bad,
        good_lock=good.lock.digest,
        bad_lock=bad.lock.digest,
        probe=probe,
        python=good.python,
        expect=args.expect,
        timeout=args.timeout,
    )
    return search(question, Ends(good.lock, bad.lock, python=good.python), args, console)


def search(question: ChangedQuestion, ends: Ends, args: argparse.Namespace, console: Console) -> int:
    """Run or continue the search of `question` and show what it found. `args` says how, not what.

    Returns the exit status: 1 where the moves that the user left out break it by themselves.
    """
    table = Table(console)
    session = ChangedSession(question, ends, options_of(args, table.listener), table.on_record)
    table.begin(session)
    answer = session.run()
    changes = {change.package: change for change in ends.changes}
    needed = {name: changes[name] for name in answer.needed}
    console.talk("")
    for line in words(answer, changes, session.left_out):
        console.talk(line)
    base = ends.lock(answer.moved)
    inner: dict[str, object] = {}
    for name, change in needed.items():
        inner[name] = _inside(session, change, needed, base, console=console, args=args)
    body = _body(session, answer, changes, inner)
    page = page_of(args) or session.folder / "report.html"
    lines = words(answer, changes, session.left_out)
    write_text(page, render_environments(body, headline=_headline(answer), words=lines))
    body["files"] = {"log": body["log"], "page": str(page)}
    _say(console, lines, inner, body)
    return 0 if answer.needed else 1


def _body(
    session: ChangedSession, answer: Minimal, changes: Mapping[str, PackageChange], inner: Mapping[str, object]
) -> dict[str, object]:
    """The `--json` document, without its schema number."""
    question = session.question
    return {
        "question": record_without_secrets("question", {"question": msgspec.to_builtins(question)})["question"],
        "needed": [_as_dict(changes[name]) for name in answer.needed],
        "carried": [_as_dict(changes[name]) for name in answer.carried],
        "left_out": [_as_dict(changes[name]) for name in sorted(session.left_out & set(changes))],
        "proved": answer.proved,
        "unproved": list(answer.unproved),
        "changes": len(changes),
        "sets_tested": len(session.log.all("set")),
        "sets": [_set_row(record) for record in session.log.all("set")],
        "releases": dict(inner),
        "log": str(session.log.path),
    }


def _set_row(record: Mapping[str, object]) -> dict[str, object]:
    outcome = msgspec.convert(record["outcome"], ProbeOutcome)
    said = outcome.first_lines.splitlines()[0] if outcome.status != "passed" and outcome.first_lines else ""
    names = ("moved", "verdict", "seconds", "again", "source")
    return {**{name: record[name] for name in names}, "status": outcome.status, "error": said}


class Table:
    """One line for each set of moves that was tested."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._draw = console.listener()
        self._rows = 0

    def listener(self, event: Event) -> None:
        if isinstance(event, Note) or self._console.interactive:
            self._draw(event)

    def begin(self, session: ChangedSession) -> None:
        talk, done = self._console.talk, session.log.all("set")
        count = len(session.ends.changes)
        talk(f"{counted(count, 'package')} {verb(count, 'differs', 'differ')}; probe: {session.question.probe.title}")
        if done:
            talk(f"going on with a search that has {counted(len(done), 'finished probe')}: {session.log.path}")
        talk(f"\n{'':>3}  {'moved':>5}  {'verdict':10}  {'seconds':>7}  what it said, and what moved")
        for record in done:
            self.on_record(record)

    def on_record(self, record: Mapping[str, Any]) -> None:
        if record["event"] != "set":
            return
        self._rows += 1
        names = ", ".join(record["moved"]) or "none: the good end"
        outcome = record["outcome"]
        said = f"{outcome.get('error_type') or outcome['status']}  " if outcome["status"] != "passed" else ""
        again = "again: " if record["again"] else ""
        line = (
            f"{self._rows:>3}  {len(record['moved']):>5}  {record['verdict']:10}  {record['seconds']:>7.1f}  "
            f"{again}{said}{names}"
        )
        self._console.talk(clipped(line, self._console))


def _inside(
    session: ChangedSession,
    change: PackageChange,
    needed: Mapping[str, PackageChange],
    base: Lock,
    *,
    console: Console,
    args: argparse.Namespace,
) -> dict[str, object] | None:
    """Search the releases of one needed package: its document, or None where that is not possible."""
    question = inner_question(session, change, needed, base)
    if question is None:
        console.talk(f"\n{change}: it came or went, so there is no release to search for")
        return None
    console.talk(f"\ninside {change}:")
    view = BisectView(console, question)
    try:
        inner, problem = open_session(question, options_of(args, view.listener, view.on_record), base=base)
    except InputError as unknown:
        console.warn(f"the releases of `{change.package}` cannot be searched: {unknown.message}")
        return None
    view.begin(inner, problem)
    inner.run(problem)
    report = make_report(inner.log.records, inner.axis)
    if report is None:
        return None
    page = Path(args.html).with_suffix(f".{change.package}.html") if args.html else None
    return {**document(report), "files": write_files(report, inner.folder, page)}


def _say(console: Console, lines: Sequence[str], inner: Mapping[str, Any], body: dict[str, Any]) -> None:
    console.close()
    if console.json_mode:
        console.document(1, body)
        return
    found = [f"  {name}: {report['headline']}" for name, report in inner.items() if report is not None]
    console.talk("")
    console.data(fitted([*lines, *found], indent=14))
    console.talk("")
    for name, path in body["files"].items():
        console.talk(f"{name:9} {path}")


def words(answer: Minimal, changes: Mapping[str, PackageChange], left_out: AbstractSet[str]) -> list[str]:
    """The answer, one line for the claim and one for each package."""
    made = sorted(left_out & set(changes))
    if not answer.needed:
        return ["the moves that were left out break it by themselves:", *(f"  {changes[name]}" for name in made)]
    count = len(answer.needed)
    proof = "without any one of them it passes" if count > 1 else "without it, it passes"
    if not answer.proved:
        proof = f"not proved for {', '.join(answer.unproved)}: an environment without it could not be tested"
    lines = [f"{_headline(answer)} ({proof}):"]
    lines += [f"  {changes[name]}" for name in answer.needed]
    if answer.carried:
        lines += ["which force these to move as well:", *(f"  {changes[name]}" for name in answer.carried)]
    if made:
        lines += ["with these made as well, as you left them out:", *(f"  {changes[name]}" for name in made)]
    return lines


def _headline(answer: Minimal) -> str:
    if not answer.needed:
        return "the moves that were left out break it"
    *others, last = sorted(answer.needed)
    return f"moving {', '.join(others)} and {last} together breaks it" if others else f"moving {last} breaks it"


def _as_dict(change: PackageChange) -> dict[str, str | None]:
    return {"package": change.package, "good": change.good, "bad": change.bad}
