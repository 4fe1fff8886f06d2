"""A search over the moves between two environments: which are needed to break it, then which release of each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from envpin.bisect.environments.changed import Minimal, Tested, Trial, closure, dependents, next_step, plan, without
from envpin.bisect.environments.holding import versions
from envpin.bisect.environments.mixing import Ends, declared_requirements
from envpin.bisect.question import ProbeQuestion, Question, digest
from envpin.bisect.session.history import SCHEMA, Log, VerdictCache, alone
from envpin.bisect.session.outcome import ProbeOutcome, judge, same_failure
from envpin.bisect.session.prefetch import Prefetch, finished
from envpin.bisect.session.prober import Prober
from envpin.bisect.session.start import folder_of
from envpin.core.errors import BuildError, CheckFailedError, InputError, UsageError
from envpin.core.events import Step
from envpin.core.pools import started_pool
from envpin.core.sizes import counted
from envpin.envs.locks.lock import parse_lock
from envpin.envs.machine import this_platform
from envpin.envs.store.store import Store
from envpin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path

    from envpin.bisect.environments.changed import PackageChange, Subset
    from envpin.bisect.session.start import SearchOptions
    from envpin.envs.locks.lock import Lock
    from envpin.envs.store.environment import Environment


class ChangedQuestion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`good` and `bad` are references as the user wrote them; the digests say which locks they meant."""

    good: str
    bad: str
    good_lock: str
    bad_lock: str
    probe: ProbeQuestion
    python: str
    expect: str | None = None
    timeout: float | None = None

    @property
    def identity(self) -> str:
        return f"environments-{digest(msgspec.to_builtins(self))[:12]}"


class ChangedSession:
    """The search for a minimal set of moves, in its folder. `run` goes on where the log ends."""

    def __init__(
        self,
        question: ChangedQuestion,
        ends: Ends,
        options: SearchOptions,
        on_record: Callable[[Mapping[str, object]], None],
    ) -> None:
        if not ends.changes:
            raise UsageError("both environments hold the same versions: there is nothing to search")
        self.question = question
        self.ends = ends
        self._options = options
        self._on_record = on_record
        self._store = Store(options.root)
        self.folder: Path = folder_of(self._store.root, question.identity)
        self.log = Log(self.folder / "log.jsonl")
        self._prober = Prober(question.probe, self.folder / "probe", timeout=question.timeout)
        self._cache = VerdictCache(self._store.root / "bisect" / "verdicts") if options.use_cache else None
        self._probe = ""

    def run(self) -> Minimal:
        """Find the minimal set.

        Raises:
            CheckFailedError: an end is not what it was said to be.
            InfrastructureError: the machine could not go on; run it again.
            RefusedError: another process runs this very search.
        """
        with alone(self.log):
            return self._run()

    @property
    def left_out(self) -> Subset:
        """Packages that the user declared innocent: they move in every test and are never blamed."""
        return frozenset(record["package"] for record in self.log.all("skip"))

    def known(self) -> dict[Subset, Tested]:
        """What the log says about each set of moves; one that answered both ways is unknown."""
        found: dict[Subset, Tested] = {}
        for record in self.log.all("set"):
            moved, state = frozenset(record["moved"]), _state(record["verdict"])
            found[moved] = state if found.get(moved, state) == state else "unknown"
        return found

    def _run(self) -> Minimal:
        if not self.log.records:
            self.log.append("question", schema=SCHEMA, envpin=__version__, question=msgspec.to_builtins(self.question))
        if self.log.last("ends") is None:
            good_lock, bad_lock = self.ends.locks
            self.log.append("ends", good=good_lock.text, bad=bad_lock.text)
        self.log.append("start")
        self._options.listener(Step(key="probe", title="the environments of both ends"))
        good, bad = self._environment(frozenset()), self._environment(self.ends.everything)
        self._prober.prepare(good, listener=self._options.listener)
        self._probe = self._prober.probe_digest(good)
        self._verify_ends()
        declared = declared_requirements(good.path) | declared_requirements(bad.path)
        close = closure(self.ends.changes, declared)
        suspects, innocent, required = self._suspects(), self.left_out, dependents(self.ends.changes, declared)

        def ask(known: Mapping[Subset, Tested]) -> Trial | Minimal:
            return next_step(
                self.ends.changes, known, close=close, suspects=suspects, always=innocent, dependents=required
            )

        fetch = self._environment if self._options.prefetch else None
        with Prefetch(fetch) as prefetch, started_pool(self._options.jobs) as pool:
            step = self._narrow(ask, pool, prefetch)
            again = {pool.submit(self._test, moved, again=True) for moved in self._to_confirm(step, close)}
            self._finish(again)
        final = ask(self.known())
        # A contradiction in the confirmation makes a set unknown, and what rested on it unproved.
        answer = final if isinstance(final, Minimal) else step
        self._record("minimal", moved=sorted(answer.moved), needed=list(answer.needed), carried=list(answer.carried),
                     proved=answer.proved, unproved=list(answer.unproved), left_out=sorted(innocent))  # fmt: skip
        return answer

    def _narrow(
        self, ask: Callable[[Mapping[Subset, Tested]], Trial | Minimal], pool: ThreadPoolExecutor,
        prefetch: Prefetch[Subset],
    ) -> Minimal:  # fmt: skip
        jobs = self._options.jobs
        running: dict[Future[dict[str, object]], Subset] = {}
        while True:
            step = plan(self.known(), jobs + 2, ask)
            if isinstance(step, Minimal):
                if not running:
                    return step
            else:
                wanted = [moved for moved in step if moved not in running.values()]
                for moved in wanted[: jobs - len(running)]:
                    running[pool.submit(self._test, moved)] = moved
                prefetch.ask(wanted[jobs:])
            for future in finished(running):
                running.pop(future)
                self._note(future.result())

    def _finish(self, running: set[Future[dict[str, object]]]) -> None:
        while running:
            for future in finished(running):
                running.remove(future)
                self._note(future.result())

    def _verify_ends(self) -> None:
        for moved, wanted, what in (
            (frozenset[str](), "good", self.question.good),
            (self.ends.everything, "bad", self.question.bad),
        ):
            if moved not in self.known() or (wanted == "good" and self._prober.lacks_reference):
                self._note(self._test(moved))
            state = self.known()[moved]
            if state != wanted:
                said = next(record for record in self.log.all("set") if frozenset(record["moved"]) == moved)
                outcome = msgspec.convert(said["outcome"], ProbeOutcome)
                detail = f": {outcome.first_lines}" if outcome.first_lines else ""
                did = _did(said["verdict"])
                raise CheckFailedError(f"expected `{what}` to be {wanted}, but the probe {did}{detail}")

    def _to_confirm(self, answer: Minimal, close: Callable[[Subset], Subset]) -> Iterable[Subset]:
        """The minimal set, and that set without each needed move, where they were tested once only."""
        counts: dict[Subset, int] = {}
        for record in self.log.all("set"):
            moved = frozenset(record["moved"])
            counts[moved] = counts.get(moved, 0) + 1
        for moved in [answer.moved, *(without(answer.moved, name, close) for name in answer.needed)]:
            if counts.get(moved) == 1:
                counts[moved] = 2
                yield moved

    def _suspects(self) -> tuple[str, ...]:
        """Packages that the bad end's traceback passes through, innermost first."""
        for record in self.log.all("set"):
            if frozenset(record["moved"]) == self.ends.everything:
                outcome = msgspec.convert(record["outcome"], ProbeOutcome)
                names = [module.split("/")[0].removesuffix(".py").replace("_", "-") for module in outcome.modules]
                return tuple(dict.fromkeys(reversed(names)))
        return ()

    def _test(self, moved: Subset, *, again: bool = False) -> dict[str, object]:
        """Run the probe with these moves made; gives the fields of its record, but for the verdict."""
        begun = time.monotonic()
        self._options.listener(
            Step(key="probe", title=f"probe with {len(moved)} of {counted(len(self.ends.changes), 'move')}")
        )
        spec = self.ends.spec(moved)
        fields: dict[str, object] = {"moved": sorted(moved), "lock": spec.lock.digest, "source": "run", "again": again}
        key = digest([spec.lock.digest, spec.python, self._probe, this_platform()])
        needs_run = again or (not moved and self._prober.lacks_reference)
        cached = None if needs_run or self._cache is None else self._cache.get(key)
        if cached is not None:
            outcome = cached
            fields["source"] = "cache"
        else:
            try:
                environment = self._environment(moved)
            except BuildError as error:
                outcome = ProbeOutcome(status="uninstallable", message=error.message)
            else:
                fields["environment"] = str(environment.path)
                outcome = self._prober.run(environment, is_good_end=not moved, variables={},
                                           listener=self._options.listener)  # fmt: skip
                if self._cache is not None and outcome.status != "timed-out":
                    self._cache.put(key, outcome)
        return {**fields, "outcome": outcome, "seconds": round(time.monotonic() - begun, 2)}

    def _environment(self, moved: Subset) -> Environment:
        return self._store.ensure(self.ends.spec(moved), offline=self._options.offline)

    def _note(self, fields: dict[str, Any]) -> None:
        """Judge what a test gave and write it down."""
        outcome: ProbeOutcome = fields.pop("outcome")
        verdict = self._judged(outcome, frozenset(fields["moved"]))
        self._record("set", verdict=verdict, outcome=msgspec.to_builtins(outcome), **fields)

    def _judged(self, outcome: ProbeOutcome, moved: Subset) -> str:
        """Without `--expect`, the bad end's own failure is what is searched for; another one says nothing about it."""
        verdict = judge(outcome, self.question.expect)
        if verdict == "bad" and self.question.expect is None and moved not in {frozenset(), self.ends.everything}:
            last = next((r for r in self.log.all("set") if frozenset(r["moved"]) == self.ends.everything), None)
            if last is not None and not same_failure(msgspec.convert(last["outcome"], ProbeOutcome), outcome):
                return "other-fail"
        return verdict

    def _record(self, event: str, **fields: object) -> None:
        self._on_record(self.log.append(event, **fields))


def ends_of(log: Log, question: ChangedQuestion) -> Ends:
    """The ends as the log holds them, so that a search goes on where its references mean nothing.

    Raises:
        InputError: they are not in the log, or are not those that the question names.
    """
    record = log.last("ends")
    if record is None:
        raise InputError(
            f"`{log.path}` does not hold the locks of its ends", path=log.path, hint="run its command again"
        )
    good = parse_lock(str(record.get("good", "")), origin=f"the good end in `{log.path}`")
    bad = parse_lock(str(record.get("bad", "")), origin=f"the bad end in `{log.path}`")
    if (good.digest, bad.digest) != (question.good_lock, question.bad_lock):
        raise InputError(f"the locks in `{log.path}` are not those that its question names", path=log.path)
    return Ends(good, bad, python=question.python)


def inner_question(
    session: ChangedSession, change: PackageChange, needed: Mapping[str, PackageChange], base: Lock
) -> Question | None:
    """Which release of one needed package did it, with the other needed moves made; None where it came or went.

    `base` is the lock of the minimal set, at which everything else is held.
    """
    from packaging.version import Version

    if change.good is None or change.bad is None:
        return None
    good, bad = Version(change.good), Version(change.bad)
    others = tuple(f"{name}=={other.bad}" for name, other in sorted(needed.items())
                   if name != change.package and other.bad is not None)  # fmt: skip
    return Question(
        package=change.package,
        old=str(min(good, bad).public),
        new=str(max(good, bad).public),
        find="broke" if good < bad else "fixed",
        probe=session.question.probe,
        python=session.question.python,
        held=others,
        also=tuple(sorted(versions(base))),
        expect=session.question.expect,
        timeout=session.question.timeout,
    )


def _state(verdict: str) -> Tested:
    return "good" if verdict == "good" else "bad" if verdict == "bad" else "unknown"


def _did(verdict: str) -> str:
    """What a probe with this verdict did, in a sentence."""
    return {"good": "passed", "bad": "failed"}.get(verdict, "cannot tell")
