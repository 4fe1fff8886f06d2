"""One search from its first probe to its conclusion: asks `search` what to run, runs it, writes down what happened."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from envpin.bisect.question import digest
from envpin.bisect.search.search import Conclusion, Observation, Problem, Run, plan
from envpin.bisect.session.history import SCHEMA, Log, VerdictCache, alone
from envpin.bisect.session.outcome import ProbeOutcome, as_seen, judge
from envpin.bisect.session.prefetch import Prefetch, finished
from envpin.core.errors import (
    BuildError,
    EnvpinError,
    NoInterpreterError,
    ResolutionError,
)
from envpin.core.events import Note, Step, ignore
from envpin.core.pools import started_pool
from envpin.envs.machine import this_platform
from envpin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path

    from envpin.bisect.environments.holding import Holder
    from envpin.bisect.question import Find, Question
    from envpin.bisect.search.axis import Axis
    from envpin.bisect.session.outcome import Verdict
    from envpin.bisect.session.prober import Prober
    from envpin.core.events import Listener
    from envpin.envs.store.environment import Environment
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.envs.store.store import Store

# A run that a noisy answer calls for must really run; a first look may be answered from what is known.
_MUST_RUN = {"repeat", "edge", "noise"}


class SearchSession:
    """A search in its folder. Everything that it knows is in the log; a new session on the same folder goes on."""

    def __init__(
        self,
        question: Question,
        *,
        folder: Path,
        axis: Axis,
        holder: Holder,
        prober: Prober,
        store: Store,
        cache: VerdictCache | None,
        jobs: int = 1,
        prefetch: bool = True,
        offline: bool = False,
        listener: Listener = ignore,
        on_record: Callable[[Mapping[str, object], SearchSession], None] | None = None,
        setup: Mapping[str, Any] | None = None,
    ) -> None:
        """`setup` is what the search was set up with; it goes into the log, from where a later session takes it."""
        self.question = question
        self.folder = folder
        self.axis = axis
        self.log = Log(folder / "log.jsonl")
        self._holder = holder
        self._prober = prober
        self._store = store
        self._cache = cache
        self._jobs = jobs
        self._prefetch = prefetch
        self._offline = offline
        self._listener = listener
        self._on_record = on_record
        self.setup = dict(setup or {})

    def run(self, problem: Problem) -> Conclusion:
        """Search to the end. Killed or interrupted, it can be run again and repeats nothing that had finished.

        Raises:
            InfrastructureError: the machine could not go on; nothing was counted against a release.
            RefusedError: another process runs this very search.
        """
        with alone(self.log):
            return self._run(problem)

    def observations(self) -> list[Observation]:
        """What the log says about each point, in the order it was found out."""
        return observations(self.log.records, self.axis, find=self.question.find)

    def _run(self, problem: Problem) -> Conclusion:
        log = self.log
        if not log.records:
            log.append("question", schema=SCHEMA, envpin=__version__, question=msgspec.to_builtins(self.question))
        if log.last("setup") is None:
            log.append("setup", **self.setup)
        log.append("start", jobs=self._jobs)
        for candidate in self.axis.candidates:
            if candidate.blocked and not any(r["version"] == candidate.version for r in log.all("skip")):
                self._record("skip", version=candidate.version, reason=candidate.blocked)
        version = self.question.good
        self._listener(Step(key="probe", title=f"environment of {self.question.package} {version}, the good end"))
        good = self._environment(self._holder.good())
        self._listener(Step(key="probe", title="what the probes need"))
        self._prober.prepare(good, listener=self._listener)
        probe = self._prober.probe_digest(good)
        end = 0 if self.question.find == "broke" else len(self.axis.candidates) - 1
        if self._prober.lacks_reference or not any(seen.index == end for seen in self.observations()):
            # First and alone: other probes are held against what the good end answered.
            first = Run(index=end, purpose="end")
            self._note_start(first)
            self._finish(self._probe(first, probe))
        with Prefetch(self._fetch if self._prefetch else None) as prefetch, started_pool(self._jobs) as pool:
            return self._loop(problem, probe, pool, prefetch)

    def _loop(self, problem: Problem, probe: str, pool: ThreadPoolExecutor, prefetch: Prefetch[str]) -> Conclusion:
        running: dict[Future[dict[str, object]], Run] = {}
        while True:
            step = plan(problem, self.observations(), self._jobs + 2)
            if isinstance(step, Conclusion):
                if not running:
                    self._record("conclusion", **msgspec.to_builtins(_plain(step)))
                    return step
            else:
                busy = {run.index for run in running.values()}
                wanted = [run for run in step if run.index not in busy]
                for run in wanted[: self._jobs - len(running)]:
                    self._note_start(run)
                    running[pool.submit(self._probe, run, probe)] = run
                prefetch.ask([self.axis.versions[run.index] for run in wanted[self._jobs :]])
            for future in finished(running):
                running.pop(future)
                self._finish(future.result())

    def _probe(self, run: Run, probe: str) -> dict[str, object]:
        """Run one probe; returns the fields of its record."""
        begun = time.monotonic()
        version = self.axis.versions[run.index]
        fields: dict[str, object] = {"version": version, "purpose": run.purpose, "source": "run"}
        try:
            spec = self._holder.spec(version)
        except (ResolutionError, NoInterpreterError) as error:
            return self._without_environment(fields, "unresolvable", error, begun)
        fields |= {"lock": spec.lock.digest, "moves": [str(move) for move in self._holder.moves(spec.lock)]}
        key = digest([spec.lock.digest, spec.python, probe, this_platform()])
        is_good_end = version == self.question.good
        known = None if run.purpose in _MUST_RUN or self._cache is None else self._cache.get(key)
        if known is not None and not (is_good_end and self._prober.lacks_reference):
            return self._with_outcome(fields | {"source": "cache"}, known, begun)
        try:
            environment = self._environment(spec)
        except BuildError as error:
            return self._without_environment(fields, "uninstallable", error, begun)
        fields["environment_seconds"] = round(time.monotonic() - begun, 2)
        variables = {"ENVPIN_BISECT_PACKAGE": self.question.package, "ENVPIN_BISECT_VERSION": version}
        outcome = self._prober.run(environment, is_good_end=is_good_end, variables=variables, listener=self._listener)
        if self._cache is not None and outcome.status != "timed-out":
            self._cache.put(key, outcome)
        return self._with_outcome(fields | {"environment": str(environment.path)}, outcome, begun)

    def _with_outcome(self, fields: dict[str, object], outcome: ProbeOutcome, begun: float) -> dict[str, object]:
        verdict = judge(outcome, self.question.expect)
        seconds = round(time.monotonic() - begun, 2)
        return {**fields, "verdict": verdict, "outcome": msgspec.to_builtins(outcome), "seconds": seconds}

    def _without_environment(
        self, fields: dict[str, object], status: str, error: EnvpinError, begun: float
    ) -> dict[str, object]:
        outcome = msgspec.convert({"status": status, "message": error.message}, ProbeOutcome)
        return self._with_outcome(fields, outcome, begun)

    def _environment(self, spec: EnvironmentSpec) -> Environment:
        return self._store.ensure(spec, listener=_quieter(self._listener), offline=self._offline)

    def _note_start(self, run: Run) -> None:
        version = self.axis.versions[run.index]
        self._listener(Step(key="probe", title=f"probe {self.question.package} {version}", detail=run.purpose))

    def _finish(self, fields: dict[str, object]) -> None:
        self._record("probe", **fields)

    def _record(self, event: str, **fields: object) -> None:
        record = self.log.append(event, **fields)
        if self._on_record is not None:
            self._on_record(record, self)

    def _fetch(self, version: str) -> None:
        self._store.ensure(self._holder.spec(version), offline=self._offline)


def observations(records: Iterable[Mapping[str, Any]], axis: Axis, *, find: Find) -> list[Observation]:
    """What a log says about each point, in the order it was found out.

    What was skipped is untestable, whatever its probes had said before: its user knows why.
    """
    at = {version: index for index, version in enumerate(axis.versions)}
    told = [record for record in records if record["event"] in {"probe", "skip"} and record["version"] in at]
    skipped = {record["version"] for record in told if record["event"] == "skip"}
    found = []
    for record in told:
        verdict: Verdict = "untestable" if record["version"] in skipped else record["verdict"]
        found.append(Observation(index=at[record["version"]], outcome=as_seen(verdict, find=find)))
    return found


def _plain(conclusion: Conclusion) -> dict[str, object]:
    return {
        "kind": conclusion.kind,
        "low": conclusion.low,
        "high": conclusion.high,
        "probability": conclusion.probability,
        "certain": conclusion.certain,
        "noisy": conclusion.noisy,
        "others": [{"low": other.low, "high": other.high, "to": other.to} for other in conclusion.others],
    }


def _quieter(listener: Listener) -> Listener:
    """The steps of building an environment as progress only: a search has its own lines."""

    def forward(event: object) -> None:
        if isinstance(event, Note) and event.level == "info":
            return
        if not isinstance(event, Step):
            listener(event)  # type: ignore[arg-type]

    return forward
