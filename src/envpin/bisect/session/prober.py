"""Runs one probe in one environment: a worker for the built-in actions, or the user's own command."""

from __future__ import annotations

import json
import os
import signal
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from envpin.bisect.question import PROBE_VERSION, digest
from envpin.bisect.search.metric import END_RUNS, MOST, Separation, separate, side_of
from envpin.bisect.session.outcome import METRIC, ProbeOutcome, from_command, from_worker, last_number, measured_outcome
from envpin.bisect.session.secrets import without_secrets
from envpin.core import process
from envpin.core.errors import (
    ChildKilledError,
    DiskFullError,
    InfrastructureError,
    InputError,
    TimedOutError,
    UsageError,
)
from envpin.core.events import Note, ignore
from envpin.core.files import write_atomically
from envpin.core.sizes import counted
from envpin.host import worker
from envpin.host.verbs import ProbeCall, TinyModelCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.bisect.question import ProbeQuestion
    from envpin.core.events import Listener
    from envpin.envs.store.environment import Environment

# Signals that say something about the release; others (KILL, TERM, INT) come from outside.
_OWN_FAULT = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
_MEASURED = "metric.json"
# Equal runs of an end after which it is taken to have no noise.
_SURE = 3
_NEEDS_WEIGHTS = {"load-adapter", "merge"}


class Prober:
    """One per search. `folder` keeps what probes share: the tiny model, its adapter, the reference answers."""

    def __init__(self, question: ProbeQuestion, folder: Path, *, timeout: float | None = None) -> None:
        self._question = question
        self._folder = folder
        self._timeout = timeout

    @property
    def lacks_reference(self) -> bool:
        """Whether the good end must be run, whatever is known about it, so that its answers are written down."""
        if self._question.metric:
            return "good" not in self._measured()
        return self._question.action == "merge" and not self._reference.exists()

    @property
    def _reference(self) -> Path:
        return self._folder / "reference.json"

    def prepare(self, good: Environment, *, listener: Listener = ignore) -> None:
        """Make in the good end's environment what every probe needs. Nothing is made twice.

        Raises:
            UsageError: there is no tiny model of the family.
            InfrastructureError: the machine could not do it.
        """
        question = self._question
        self._folder.mkdir(parents=True, exist_ok=True)
        if question.command or question.family is None or (self._folder / "ready").exists():
            return
        weights = question.action in _NEEDS_WEIGHTS
        call = TinyModelCall(family=question.family, folder=str(self._folder / "model"), weights=weights,
                             adapter=str(self._folder / "adapter") if weights else None)  # fmt: skip
        try:
            worker.call(good.python, call, listener=listener)
        except worker.WorkerError as error:
            raise _explained(error) from error
        (self._folder / "ready").touch()

    def probe_digest(self, good: Environment) -> str:
        """What the outcome depends on besides the environment it runs in."""
        question = self._question
        # A tiny model and the reference answers come from the good end; a user's own files do not.
        made_in = good.receipt.lock_sha256 if question.family or question.action == "merge" else None
        return digest([PROBE_VERSION, msgspec.to_builtins(question), made_in])

    def run(
        self, environment: Environment, *, is_good_end: bool, variables: Mapping[str, str], listener: Listener = ignore
    ) -> ProbeOutcome:
        """Run the probe once. At the good end a merge probe writes down the answers that later ones are held against.

        Raises:
            InfrastructureError: the machine could not do it, which says nothing about the release.
            InputError: the user's command does not exist.
        """
        found = self._run(environment, is_good_end=is_good_end, variables=variables, listener=listener)
        # Here, and not where it is written: a message is compared with those that were read back from a log.
        return without_secrets(found)

    def _run(
        self, environment: Environment, *, is_good_end: bool, variables: Mapping[str, str], listener: Listener
    ) -> ProbeOutcome:
        begun = time.monotonic()
        try:
            if self._question.metric:
                return self._metric(environment, variables, listener, is_good_end=is_good_end)
            if self._question.command:
                return self._command(environment, variables, listener, is_good_end=is_good_end)
            return self._action(environment, is_good_end=is_good_end, listener=listener)
        except TimedOutError:
            return ProbeOutcome(
                status="timed-out", seconds=time.monotonic() - begun, message=f"no answer in {self._timeout:.0f} s"
            )
        except ChildKilledError as killed:
            if killed.signal not in _OWN_FAULT:
                raise
            name = signal.Signals(killed.signal).name
            return ProbeOutcome(status="crashed", seconds=time.monotonic() - begun, error_type=name, text=name)

    def _action(self, environment: Environment, *, is_good_end: bool, listener: Listener) -> ProbeOutcome:
        question = self._question
        tiny = question.family is not None
        model = str(self._folder / "model") if tiny else question.base
        adapter = str(self._folder / "adapter") if tiny else question.adapter
        for place in (question.base, question.adapter):
            if place is not None and not Path(place).is_dir():
                raise InfrastructureError(f"`{place}` is not there any more")
        written = question.action == "merge" and self._reference.exists()
        wanted = question.action == "merge" and is_good_end and not written
        reference = str(self._reference)
        call = ProbeCall(action=question.action or "", family=question.family, model=model, adapter=adapter,
                         float32=tiny, reference=reference if written else None,
                         write_reference=reference if wanted else None)  # fmt: skip
        try:
            answer = worker.call(environment.python, call, listener=_only_warnings(listener),
                                 timeout=self._timeout, env={"OMP_NUM_THREADS": _threads()})  # fmt: skip
        except worker.WorkerError as error:
            raise _explained(error) from error
        return from_worker(answer)

    def _metric(
        self, environment: Environment, variables: Mapping[str, str], listener: Listener, *, is_good_end: bool
    ) -> ProbeOutcome:
        """Run the command until its number is clear of the limit between the ends, which are measured first."""
        measured = self._measured()
        end: Literal["good", "bad"] = "good" if is_good_end else "bad"
        # The session runs both ends before anything else, so the first release that is not the good end is the bad one.
        is_end = end not in measured
        values: list[float] = []
        begun = time.monotonic()
        while len(values) < (END_RUNS if is_end else MOST):
            ran = self._run_command(environment, variables, listener, is_good_end=is_good_end)
            if isinstance(ran, ProbeOutcome):
                return ran
            number = last_number(ran.stdout) if ran.status == 0 else None
            if number is None:  # it failed in another way than by its number, which says nothing about the number
                told = f"ends with status {ran.status}" if ran.status else "prints no number"
                return ProbeOutcome(status="declined", message=f"the command {told}", text=ran.stderr[-4000:])
            values.append(number)
            if is_end and len(values) == _SURE and len(set(values)) == 1:
                break
            found = None if is_end else self._separation(measured)
            side = side_of(values, found) if found is not None else None
            if side is not None and found is not None:
                return measured_outcome(side, values, found, seconds=time.monotonic() - begun)
        if is_end:
            return self._end(end, measured, values, seconds=time.monotonic() - begun)
        return ProbeOutcome(status="declined", message=f"its number is not clear after {counted(len(values), 'run')}",
                            details={"values": values})  # fmt: skip

    def _end(
        self, end: Literal["good", "bad"], measured: dict[str, list[float]], values: list[float], *, seconds: float
    ) -> ProbeOutcome:
        """Keep what an end measured; the second one says whether the two can be told apart at all."""
        measured[end] = values
        if len(measured) == 2 and self._separation(measured) is None:
            shown = ", ".join(f"{name} {_spread(numbers)}" for name, numbers in sorted(measured.items(), reverse=True))
            message = f"the numbers of the ends cannot be told apart by their noise: {shown}"
            return ProbeOutcome(status="declined", seconds=seconds, message=message, details={"values": values})
        write_atomically(self._folder / _MEASURED, json.dumps(measured), parents=True)
        shown = _spread(values)
        if end == "good":
            return ProbeOutcome(status="passed", seconds=seconds, details={"values": values})
        return ProbeOutcome(status="failed", seconds=seconds, error_type=METRIC, message=f"the bad end has {shown}",
                            details={"values": values})  # fmt: skip

    def _measured(self) -> dict[str, list[float]]:
        path = self._folder / _MEASURED
        return msgspec.json.decode(path.read_bytes(), type=dict[str, list[float]]) if path.exists() else {}

    def _separation(self, measured: Mapping[str, list[float]]) -> Separation | None:
        return separate(measured["good"], measured["bad"], threshold=self._question.threshold)

    def _command(
        self, environment: Environment, variables: Mapping[str, str], listener: Listener, *, is_good_end: bool
    ) -> ProbeOutcome:
        begun = time.monotonic()
        completed = self._run_command(environment, variables, listener, is_good_end=is_good_end)
        if isinstance(completed, ProbeOutcome):
            return completed
        seconds = round(time.monotonic() - begun, 3)
        folder = str(environment.path)
        return from_command(completed.status, completed.stdout, completed.stderr, seconds=seconds, folder=folder)

    def _run_command(
        self, environment: Environment, variables: Mapping[str, str], listener: Listener, *, is_good_end: bool
    ) -> process.Completed | ProbeOutcome:
        """Run the user's command once; an outcome where this release does not even bring the program."""
        scripts = str(environment.scripts)
        path = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
        values = {"PATH": path, "VIRTUAL_ENV": str(environment.path), **variables}

        def on_line(line: str) -> None:
            listener(Note(message=line, level="debug"))

        try:
            completed = process.run(
                self._question.command,
                env=process.scrubbed_environment(set_values=values),
                cwd=Path.cwd(),
                timeout=self._timeout,
                on_stdout=on_line,
                on_stderr=on_line,
            )
        except InputError as missing:
            if is_good_end:
                raise
            # The good end brings the program, this release does not.
            return ProbeOutcome(status="failed", error_type="CommandNotFound", message=missing.message,
                                text=missing.message)  # fmt: skip
        if completed.status < 0 and -completed.status not in _OWN_FAULT:
            process.raise_if_killed(completed, what="the command")
        return completed


def _spread(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2g}" if len(set(values)) > 1 else ""
    return f"{statistics.fmean(values):.6g}{spread} ({counted(len(values), 'run')})"


def _threads() -> str:
    return os.environ.get("OMP_NUM_THREADS", "2")


def _only_warnings(listener: Listener) -> Listener:
    def forward(event: object) -> None:
        if isinstance(event, Note) and event.level == "warning":
            listener(event)

    return forward


def _explained(error: worker.WorkerError) -> Exception:
    match error.worker_kind:
        case "unknown-family":
            return UsageError(error.message, hint="use one of them, or `--adapter A --base B`, or `-- CMD…`")
        case "disk-full":
            return DiskFullError(error.message, hint="free some space and run the same command again")
        case _:
            return InfrastructureError(error.message)
