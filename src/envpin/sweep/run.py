"""Runs a plan: resolve, build, climb, cross. What is known already is not run; what is found is on disk at once."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from envpin.core import process
from envpin.core.errors import ChildKilledError, EnvironmentSetupError, InfrastructureError, NetworkError, TimedOutError
from envpin.core.events import ignore
from envpin.core.pools import started_pool
from envpin.core.resources import data_path
from envpin.core.sizes import counted
from envpin.envs.locks.lock import lock_file_name, read_lock
from envpin.envs.machine import this_platform
from envpin.envs.refs.family import as_time
from envpin.envs.refs.pins import Resolver
from envpin.envs.store.identity import EnvironmentSpec
from envpin.sweep.plan import CROSS, STEPS, recipe_digest
from envpin.sweep.unit import FamilyJob, Unit, UnitResult, packed, run_unit, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from envpin.core.events import Listener
    from envpin.envs.store.store import Store
    from envpin.matrix.recipes import Recipe
    from envpin.matrix.results import EvidenceRun
    from envpin.sweep.plan import Pins, SweepPlan
    from envpin.sweep.results import Results

# Importing the libraries costs about as much as climbing with this many families does.
_FAMILIES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepOptions:
    """`timeout` is in seconds, for one step. `again` runs what is known already. `remote` is an executor whose workers
    share nothing with this process but the network; without it, `jobs` units run at a time on this machine. No unit
    begins later than `within` seconds after the start: what is left, the next run does."""

    jobs: int = 1
    timeout: float = 300.0
    within: float | None = None
    again: bool = False
    offline: bool = False
    fork: bool | None = None
    remote: Executor | None = None
    listener: Listener = ignore


@dataclass(kw_only=True)
class Sweep:
    """`run` goes on where the results end. `on_plan` hears how many steps there are and how many are known. `spec_of`
    stands in for resolving pins from the index."""

    plan: SweepPlan
    recipes: Mapping[str, Recipe]
    store: Store
    results: Results
    options: SweepOptions = field(default_factory=SweepOptions)
    on_plan: Callable[[int, int], None] = lambda _all, _known: None
    spec_of: Callable[[Pins], EnvironmentSpec] | None = None

    def __post_init__(self) -> None:
        self._specs: dict[Pins, EnvironmentSpec] = {}
        self._children: set[process.Child] = set()
        self._guard = threading.Lock()
        self._stopping = False
        self._redo: set[tuple[str, str | None, str]] = set()
        self._until = None if self.options.within is None else time.monotonic() + self.options.within
        self.trouble: list[str] = []
        self.left = 0

    def run(self) -> None:
        """Find out everything of the plan that is not known.

        Raises:
            NetworkError, DiskFullError, InfrastructureError: it stopped; what was found out until then is kept.
            InputError: a committed lock cannot be read.
        """
        pool = self.options.remote or started_pool(self.options.jobs, name="verify")
        try:
            self._resolve()
            self.on_plan(*self._count())
            self._run_all(pool, self._climbs())
            self._run_all(pool, self._crossings())
        except BaseException:
            self._stop()
            raise
        finally:
            if self.options.remote is None:
                pool.shutdown(cancel_futures=True)
        if self.trouble:
            raise InfrastructureError(
                f"{counted(len(self.trouble), 'step')} could not be judged: {self.trouble[0]}",
                hint="run the same command again; what was found out is kept",
            )

    def wanted(self) -> Iterator[tuple[str, str | None, str, str]]:
        """(key, trained in, family, recipe) of everything that the plan asks for and that has an environment."""
        for pins, families in self.plan.climbs.items():
            if pins in self._specs:
                yield from ((self._key(pins), None, family, self._recipe(family)) for family in families)
        for (trained, pins), families in self.plan.crossings.items():
            if pins in self._specs and trained in self._specs:
                for family in families:
                    yield self._key(pins), self._key(trained), family, self._recipe(family)

    def entries(self) -> tuple[EvidenceRun, ...]:
        return self.results.entries(self.wanted())

    def key_of(self, pins: Pins) -> str | None:
        """The key of the store, or None where nothing fits the pins."""
        return self._key(pins) if pins in self._specs else None

    # -- what is to be done

    def _resolve(self) -> None:
        for pins in self.plan.climbs:
            why = self.results.unbuildable(pins.name)
            if why is not None and not self.options.again:
                continue
            try:
                self._specs[pins] = (self.spec_of or self._spec)(pins)
            except EnvironmentSetupError as error:
                self.results.add_unbuildable(pins.name, error.kind, error.message)

    def _spec(self, pins: Pins) -> EnvironmentSpec:
        if pins.lock is not None:
            path = data_path("lockfiles") / lock_file_name(pins.lock)
            if path.is_file():
                return EnvironmentSpec(name=pins.name, lock=read_lock(path), python=pins.python)
        resolver = Resolver(
            python=pins.python, root=self.store.root, offline=self.options.offline, listener=self.options.listener
        )
        return resolver.pins(
            pins.requirements, exclude_newer=as_time(pins.exclude_newer), constraints=pins.bounds, name=pins.name
        )

    def _key(self, pins: Pins) -> str:
        return self.store.key(self._specs[pins])

    def _recipe(self, family: str) -> str:
        return recipe_digest(self.recipes[family])

    def _count(self) -> tuple[int, int]:
        """Steps in all, and those that are known; of a crossing it is known only later whether it can be made."""
        climbs = [(pins, name) for pins, names in self.plan.climbs.items() for name in names if pins in self._specs]
        open_climbs = sum(len(self._open(pins, name)) for pins, name in climbs)
        crossings = sum(len(names) for (one, other), names in self.plan.crossings.items()
                        if one in self._specs and other in self._specs)  # fmt: skip
        open_crossings = sum(1 for unit in self._crossings(hopeful=True) for _ in unit.jobs)
        total = sum(len(self.plan.steps_in(pins)) for pins, _ in climbs) + crossings
        return total, total - open_climbs - open_crossings

    def _open(self, pins: Pins, family: str) -> tuple[str, ...]:
        known = {} if self.options.again else self.results.known(self._key(pins), family, self._recipe(family))
        return tuple(step for step in self.plan.steps_in(pins) if step not in known)

    def _climbs(self) -> list[Unit]:
        by_environment = []
        gone = self._gone()
        for pins, families in self.plan.climbs.items():
            if pins not in self._specs:
                continue
            key = self._key(pins)
            found = (self._climb(pins, name, again=(key, name) in gone) for name in families)
            jobs = [job for job in found if job is not None]
            by_environment.append(self._units(pins, jobs))
        # Units of one environment wait for one another while it is built: those of others go first.
        return [unit for row in zip_longest(*by_environment) for unit in row if unit is not None]

    def _gone(self) -> set[tuple[str, str]]:
        """(key, family) of adapters that crossings need and that are no longer there, though they were trained."""
        found = set()
        for (trained, pins), families in self.plan.crossings.items():
            if trained in self._specs and pins in self._specs:
                for job in self._crossing_jobs(trained, pins, families, hopeful=True):
                    source = self._key(trained)
                    if not (self.results.made(source, job.family) / "reference.json").exists():
                        found.add((source, job.family))
        return found

    def _climb(self, pins: Pins, family: str, *, again: bool) -> FamilyJob | None:
        key, steps = self._key(pins), self._open(pins, family)
        if not steps and again:
            self._redo.add((key, None, family))
            steps = ("train",)
        if not steps:
            return None
        known = {} if self.options.again else self.results.known(key, family, self._recipe(family))
        folder = self.results.made(key, family)
        if "load" not in steps and not self._is_made(key, family):
            # It was removed, or lay on another machine: it is made again, and says the same.
            self._redo.add((key, None, family))
            steps = tuple(step for step in STEPS if step in {"load", "train", *steps})
            known = {}
        failed = tuple(step for step, record in known.items() if record["outcome"] != "ok" and step not in steps)
        return FamilyJob(family=family, steps=steps, failed=failed, folder=self._held(folder))

    def _is_made(self, key: str, family: str) -> bool:
        return (self.results.made(key, family) / "model" / "config.json").exists()

    def _crossings(self, *, hopeful: bool = False) -> list[Unit]:
        """`hopeful` counts a crossing whose two ends are not known yet as one that will be made."""
        by_environment: dict[Pins, list[FamilyJob]] = {}
        for (trained, pins), families in self.plan.crossings.items():
            if trained not in self._specs or pins not in self._specs:
                continue
            by_environment.setdefault(pins, []).extend(self._crossing_jobs(trained, pins, families, hopeful=hopeful))
        return [unit for pins, jobs in by_environment.items() for unit in self._units(pins, jobs)]

    def _crossing_jobs(
        self, trained: Pins, pins: Pins, families: Sequence[str], *, hopeful: bool
    ) -> Iterator[FamilyJob]:
        source, target = self._key(trained), self._key(pins)
        for family in families:
            recipe = self._recipe(family)
            there, here = self.results.known(source, family, recipe), self.results.known(target, family, recipe)
            ready = [there.get("train"), here.get("load")]
            able = all(one is not None and one["outcome"] == "ok" for one in ready)
            if not able and not (hopeful and None in ready):
                continue
            known = self.results.known(target, family, recipe, trained_in=source)
            if CROSS in known and not self.options.again:
                continue
            made = self.results.made(source, family)
            if not hopeful and not (made / "reference.json").exists():
                continue  # it could not be trained again; the next run tries once more
            yield FamilyJob(
                family=family, steps=(CROSS,), trained_in=source, made=None if hopeful else self._held(made)
            )

    def _held(self, folder: Any) -> str | bytes | None:
        """A folder as a unit takes it: its path here, its contents for another machine."""
        if self.options.remote is None:
            return str(folder)
        return packed(folder) if folder.exists() else None

    def _units(self, pins: Pins, jobs: Sequence[FamilyJob]) -> list[Unit]:
        spec = self._specs[pins]
        # Here one import serves as many families as one of the processes gets; elsewhere small pieces spread better.
        size = _FAMILIES if self.options.remote else max(_FAMILIES, -(-len(jobs) // self.options.jobs))
        extra = {} if self.options.fork is None else {"fork": self.options.fork}
        return [
            Unit(
                key=self.store.key(spec), name=pins.name, lock=spec.lock.text, python=spec.python,
                platform=this_platform(), jobs=tuple(jobs[at : at + size]), timeout=self.options.timeout,
                root=None if self.options.remote else str(self.store.root), offline=self.options.offline, **extra,
            )
            for at in range(0, len(jobs), size)
        ]  # fmt: skip

    # -- doing it

    def _run_all(self, pool: Executor, units: Iterable[Unit]) -> None:
        waiting: dict[Future[UnitResult], Unit] = {pool.submit(self._call(unit), unit): unit for unit in units}
        try:
            while waiting:
                # A short wait, so that Ctrl-C is heard in between on every platform.
                done, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(waiting.pop(future), future)
                if self._until is not None and time.monotonic() > self._until:
                    late = [one for one in waiting if one.cancel()]
                    self.left += sum(waiting.pop(one).steps for one in late)
        finally:
            for future in waiting:
                future.cancel()

    def _call(self, unit: Unit) -> Callable[[Unit], UnitResult]:
        if self.options.remote is not None:
            return run_unit
        return partial(run_unit, tell=partial(self._tell, unit), on_start=self._started)

    def _finish(self, unit: Unit, future: Future[UnitResult]) -> None:
        try:
            told = future.result()
        except (NetworkError, TimedOutError, ChildKilledError):
            raise
        except EnvironmentSetupError as error:
            self.results.add_unbuildable(unit.name, error.kind, error.message)
            return
        if self.options.remote is None:
            return
        # What another machine says comes in one piece.
        self._tell(unit, "facts", told.facts)
        for family, archive in told.made.items():
            unpack(archive, self.results.made(unit.key, family))
        for outcome in told.outcomes:
            self._tell(unit, "outcome", outcome)

    def _tell(self, unit: Unit, kind: str, said: Mapping[str, Any]) -> None:
        if kind == "facts":
            self.results.add_environment(unit.key, said)
            return
        if said.get("machine"):
            self.trouble.append(str(said["error"]))
            return
        trained_in = said["trained_in"]
        if (unit.key, trained_in, said["family"]) in self._redo and said["capability"] in self.results.known(
            unit.key, said["family"], self._recipe(said["family"])
        ):
            return
        kept = {name: said[name] for name in ("family", "capability", "outcome", "error", "seconds", "details")
                if name in said}  # fmt: skip
        self.results.add_outcome(unit.key, kept, recipe=self._recipe(said["family"]), trained_in=trained_in)

    def _started(self, child: process.Child) -> None:
        with self._guard:
            self._children = {one for one in self._children if one.poll() is None} | {child}
            stopping = self._stopping
        if stopping:
            process.end(child)

    def _stop(self) -> None:
        """End the workers that still run: nobody waits for what they say."""
        with self._guard:
            self._stopping = True
            children = tuple(self._children)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                process.end(child)
