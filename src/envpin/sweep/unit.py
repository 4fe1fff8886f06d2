"""The piece of a sweep that one process does: some families in one environment. It may run on another machine."""

from __future__ import annotations

import io
import signal
import sys
import tarfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.core.errors import ChildKilledError, EnvironmentDamagedError, InfrastructureError, TimedOutError
from envpin.core.scratch import scratch
from envpin.envs.locks.lock import Lock
from envpin.envs.machine import platform_name, this_platform
from envpin.envs.store.identity import EnvironmentSpec
from envpin.envs.store.store import Store
from envpin.host import worker
from envpin.host.verbs import LadderCall, LadderClimb, StepOutcome
from envpin.manifest.closure import MERGE_CLOSURE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from envpin.core.process import Child
    from envpin.envs.store.environment import Environment

# A tiny model gains nothing from threads, and many of them beside one another lose much. Nothing here uses a GPU.
_VARIABLES = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
# Importing torch and transformers, on a slow disk.
_STARTING = 300.0
_OWN_FAULT = {signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilyJob:
    """The steps of one family. `failed` are steps that are known to fail. `trained_in` is the key of the environment
    that the adapter comes from. What was made before, `folder` here and `made` there, is a path, or an archive where
    the unit runs on another machine; None: nothing yet."""

    family: str
    steps: tuple[str, ...]
    failed: tuple[str, ...] = ()
    trained_in: str | None = None
    folder: str | bytes | None = None
    made: str | bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Jobs in one environment. `root` is the store's, None where the machine that runs it has one of its own.
    `timeout` is in seconds, for one step. `fork` runs jobs as forks of one process that has imported the libraries;
    these do not survive that everywhere, so elsewhere than on Linux each job has a process, and its steps' time."""

    key: str
    name: str
    lock: str
    python: str
    platform: dict[str, str]
    jobs: tuple[FamilyJob, ...]
    timeout: float
    root: str | None = None
    fork: bool = sys.platform == "linux"
    offline: bool = False

    @property
    def steps(self) -> int:
        return sum(len(job.steps) for job in self.jobs)


@dataclass(kw_only=True, slots=True)
class UnitResult:
    """What a unit found out: facts of the environment, outcomes in order, and (from another machine) what was made."""

    facts: dict[str, object] = field(default_factory=dict)
    outcomes: list[dict[str, object]] = field(default_factory=list)
    made: dict[str, bytes] = field(default_factory=dict)


def run_unit(
    unit: Unit,
    *,
    tell: Callable[[str, Mapping[str, object]], None] | None = None,
    on_start: Callable[[Child], None] | None = None,
) -> UnitResult:
    """Build the environment, climb, and say what happened. `tell` hears `facts` first and each `outcome` at once.

    Raises:
        EnvironmentSetupError: the environment cannot be built from its lock.
        InfrastructureError: the machine could not do it, or is of another platform than the lock.
    """
    if unit.platform != this_platform():
        raise InfrastructureError(
            f"`{unit.name}` was resolved for {unit.platform}, and this worker is {this_platform()}",
            hint="start workers on the same kind of machine as the command",
        )
    environment = Store(Path(unit.root) if unit.root else None).ensure(
        EnvironmentSpec(name=unit.name, lock=Lock(text=unit.lock, origin=unit.name), python=unit.python),
        offline=unit.offline,
    )
    told = UnitResult(facts=_facts(environment, unit))
    if tell is not None:
        tell("facts", told.facts)

    def hear(seen: StepOutcome) -> None:
        job, facts = unit.jobs[seen.id], msgspec.to_builtins(seen)
        del facts["id"]
        outcome = {"family": job.family, "trained_in": job.trained_in, **facts}
        told.outcomes.append(outcome)
        if tell is not None:
            tell("outcome", outcome)

    with ExitStack() as stack:
        bodies = [
            LadderClimb(id=number, family=job.family, steps=job.steps, failed=job.failed,
                        folder=_unpacked(job.folder, stack), made=_unpacked(job.made, stack) if job.made else None)
            for number, job in enumerate(unit.jobs)
        ]  # fmt: skip
        for group in [bodies] if unit.fork else [[body] for body in bodies]:
            _climb(unit, environment.python, group, hear, on_start)
        if unit.root is None:
            told.made = {job.family: packed(Path(body.folder))
                         for job, body in zip(unit.jobs, bodies, strict=True) if job.trained_in is None}  # fmt: skip
    return told


def _facts(environment: Environment, unit: Unit) -> dict[str, object]:
    installed = {one.name: one.version for one in environment.receipt.artifacts}
    if environment.key != unit.key:
        raise EnvironmentDamagedError(f"`{environment.path}` is not the environment that was asked for")
    return {
        "packages": {name: installed[name] for name in MERGE_CLOSURE if name in installed},
        "python": ".".join(unit.python.split(".")[:2]),
        "platform": platform_name(),
        "lock_digest": environment.receipt.lock_sha256,
        "name": unit.name,
    }


def _climb(
    unit: Unit,
    python: Path,
    bodies: Sequence[LadderClimb],
    hear: Callable[[StepOutcome], None],
    on_start: Callable[[Child], None] | None,
) -> None:
    """One call of the worker. Without forks it holds one job, and its own end says how the step under way ended."""
    trouble: list[BaseException] = []
    seen: list[str] = []

    def listen(outcome: StepOutcome) -> None:
        seen.append(outcome.capability)
        try:
            hear(outcome)
        except BaseException as error:  # noqa: BLE001  this is the reader's thread; the caller must know
            trouble.append(error)

    # With forks the worker watches each step; without, one job's process has the time of its steps.
    steps = sum(len(body.steps) for body in bodies)
    limit = _STARTING + steps * (unit.timeout + 5.0) if unit.fork else steps * unit.timeout
    try:
        worker.call(
            python, LadderCall(jobs=tuple(bodies), timeout=unit.timeout, fork=unit.fork), on_outcome=listen,
            env=_VARIABLES, timeout=limit,
            on_start=on_start,
        )  # fmt: skip
    except (TimedOutError, ChildKilledError) as fault:
        ending = None if unit.fork else _ending(fault, limit)
        if ending is None:
            raise
        for body in bodies:
            for capability in [step for step in body.steps if step not in seen]:
                listen(msgspec.structs.replace(ending, id=body.id, capability=capability))
                ending = StepOutcome(id=body.id, capability="", outcome="untestable", seconds=0.0, blocked=True,
                                     error=f"not tried: {capability} did not come back")  # fmt: skip
    if trouble:
        raise trouble[0]


def _ending(fault: TimedOutError | ChildKilledError, limit: float) -> StepOutcome | None:
    """What the end of a worker says about its step; None where something outside ended it."""
    if isinstance(fault, TimedOutError):
        return StepOutcome(id=0, capability="", outcome="timeout", error=f"no answer in {limit:.0f} s", seconds=limit)
    if fault.signal in _OWN_FAULT:
        name = signal.Signals(fault.signal).name
        error = f"the interpreter crashed: {name}"
        return StepOutcome(id=0, capability="", outcome="fail", error=error, seconds=0.0)
    return None


def _unpacked(held: str | bytes | None, stack: ExitStack) -> str:
    """A folder on this machine that has what was made before; a scratch one where there is none yet."""
    if isinstance(held, str):
        return held
    folder = str(stack.enter_context(scratch("verify")))
    if held is not None:
        with tarfile.open(fileobj=io.BytesIO(held)) as archive:
            archive.extractall(folder, filter="data")
    return folder


def packed(folder: Path) -> bytes:
    """A folder of tiny things as one archive, for another machine."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(folder, arcname=".")
    return stream.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Put an archive of `packed` where a local unit would have made it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as stream:
        stream.extractall(folder, filter="data")
