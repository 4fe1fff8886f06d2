"""The store of pinned environments: built once under a lock, complete or not there at all, checked on request.

ROOT/environments/KEY/            a finished environment: a relocatable venv, its pylock.toml and its receipt
ROOT/environments/.building/…     unfinished ones; nothing in there counts, and `prune` removes it
ROOT/environments/.locks/KEY      held while KEY is built or removed
ROOT/environments/.bytecode/KEY   what workers in KEY have compiled (host/bytecode.py)
ROOT/wheels/                      kept wheels (see `envs.store.wheels`)
ROOT/resolutions/                 locks that literal pins resolved to (see `envs.locks.compile`)
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from envpin.core.errors import EnvironmentDamagedError, InputError, RefusedError
from envpin.core.events import Note, Step, ignore
from envpin.core.marks import RECEIPT
from envpin.core.sizes import counted
from envpin.envs.machine import default_root, shared_roots, this_platform
from envpin.envs.store.environment import USED, Environment
from envpin.envs.store.identity import environment_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from envpin.core.events import Listener
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.envs.store.integrity import Damage
    from envpin.envs.store.provision import Provision


class Store:
    """The environments below one root. Safe to use from several processes at once."""

    def __init__(self, root: Path | None = None, *, shared: Sequence[Path] | None = None) -> None:
        """`shared` are the roots of stores that are only read; without a root of its own, those of ENVPIN_SHARED."""
        self.root = default_root() if root is None else root.absolute()
        given = shared if shared is not None else shared_roots() if root is None else ()
        self._shared = tuple(one.absolute() for one in given)
        self._environments = self.root / "environments"
        self._building = self._environments / ".building"
        self._is_tidy = False

    def key(self, spec: EnvironmentSpec) -> str:
        return environment_key(spec, platform=this_platform())

    def find(self, spec: EnvironmentSpec) -> Environment | None:
        """The finished environment of `spec`, or None. Starts no process; a few milliseconds."""
        return self._open(self.key(spec))

    def get(self, key: str) -> Environment:
        """The finished environment whose key starts with `key`.

        Raises:
            InputError: there is none, or more than one.
        """
        found = [one for one in self.list() if one.key.startswith(key)] if key else []
        if len(found) != 1:
            reason = "is the start of several keys" if found else "is not the key of an environment in the store"
            raise InputError(f"`{key}` {reason}", hint="envpin env list")
        return found[0]

    def ensure(
        self,
        spec: EnvironmentSpec,
        *,
        listener: Listener = ignore,
        offline: bool = False,
        rebuild: bool = False,
        keep_wheels: bool = False,
        max_download: int | None = None,
    ) -> Environment:
        """Return the environment of `spec`, building it where it does not exist yet.

        With `rebuild` it is built again even so, past uv's cache for packages whose installed bytes are damaged. With
        `keep_wheels` its wheels stay in the store, so that it can be built again without an index. `max_download` is
        in bytes.

        Raises:
            RefusedError: more than `max_download` would be downloaded.
            NoInterpreterError, BuildError: it cannot be built from this lock on this machine.
            NetworkError, DiskFullError: it cannot be built right now.
            InputError: the store's folder cannot be written.
        """
        key = self.key(spec)
        title = f"environment {spec.name}"
        self._tidy()
        if not rebuild and (ready := self._open(key)) is not None:
            self.use(ready)
            if keep_wheels:
                self._keep(spec, offline=offline, listener=listener)
            listener(Step(key="environment", title=title, state="skipped", detail=f"ready at {ready.path}"))
            return ready
        from envpin.envs.store.provision import Provision
        from envpin.envs.store.wheels import WheelShelf
        from envpin.envs.uv.settings import wants_offline

        offline = offline or wants_offline(os.environ)
        shelves = tuple(WheelShelf(root) for root in (self.root, *self._shared))
        how = Provision(shelves=shelves, offline=offline, keep_wheels=keep_wheels, max_download=max_download)
        return self._build(spec, key, listener=listener, how=how, rebuild=rebuild)

    def _keep(self, spec: EnvironmentSpec, *, offline: bool, listener: Listener) -> None:
        from envpin.envs.locks.fitting import Target, wheels_for
        from envpin.envs.store.wheels import WheelShelf

        wheels = [wheel for _, wheel in wheels_for(spec.lock, Target(platform=None, python=spec.python))]
        WheelShelf(self.root).fill(wheels, offline=offline, listener=listener)

    def use(self, environment: Environment, *, needed_by: Path | None = None) -> Environment:
        """Note that `environment` is in use now, so that `prune` keeps it, and which adapter needs it."""
        if not self.owns(environment):
            return environment
        if needed_by is not None:
            environment.note_need(str(needed_by))
        with contextlib.suppress(OSError):  # a read-only store serves as well; it only cannot tell what is unused
            (environment.path / USED).touch()
        return environment

    def verify(self, environment: Environment, *, everything: bool = True) -> tuple[Damage, ...]:
        """Every file of `environment` that is not as it was installed. Reads all of them, or with `everything` false
        only those that moved since they were last read."""
        from envpin.envs.store.integrity import find_damage

        return find_damage(environment.path, environment.receipt, everything=everything)

    def list(self) -> tuple[Environment, ...]:
        """Every finished environment, most recently used first."""
        found = [one for key in self._keys() if (one := self._open(key)) is not None and _is_readable(one)]
        return tuple(sorted(found, key=lambda one: -one.last_used))

    def remove(self, environment: Environment) -> None:
        """Remove one environment: it stops counting at once, its files follow.

        Raises:
            RefusedError: it is in a store that is only read.
            InputError: the store's folder cannot be written.
        """
        from envpin.envs.store.housekeeping import discard

        if not self.owns(environment):
            raise RefusedError(
                f"`{environment.path}` is in a store of others, which is only read", hint="ask whoever keeps it"
            )

        from envpin.envs.store.build import describing_faults

        with (
            describing_faults(self.root, hint="ask whoever keeps this store"),
            self._locked(environment.key, ignore),
        ):
            if environment.path.exists():
                discard(environment.path, self._building)

    def owns(self, environment: Environment) -> bool:
        """Whether it is in the store that is written, and not in a shared one."""
        return environment.path.parent == self._environments

    def leftovers(self) -> tuple[Path, ...]:
        """Folders that killed builds left, and environments without a readable receipt or a working interpreter.

        Those of a newer envpin are not among them.
        """
        from envpin.envs.store.housekeeping import leftovers
        from envpin.envs.store.receipt import is_of_newer

        sound = {one.key for one in self.list() if self.owns(one)}
        broken = (self._environments / key for key in _keys(self._environments) if key not in sound)
        return (*leftovers(self._building), *(one for one in broken if not is_of_newer(one)))

    def prune(self, environments: Iterable[Environment], leftovers: Iterable[Path]) -> int:
        """Remove these; the bytes that this frees, not counting files that uv's cache or another environment shares.

        A leftover of a build that is still running is spared.
        """
        from envpin.envs.store.housekeeping import remove_leftover, size_of

        freed = 0
        for environment in environments:
            freed += size_of(environment.path)
            self.remove(environment)
        for path in leftovers:
            lock = self._locked(path.name.partition("-")[0], ignore, wait=False)
            try:
                with lock:
                    freed += size_of(path)
                    remove_leftover(path)
            except _BusyError:
                continue
        return freed

    def _tidy(self) -> None:
        """Remove what killed builds left; once in a process."""
        from envpin.envs.store.housekeeping import leftovers

        if self._is_tidy:
            return
        self._is_tidy = True
        with contextlib.suppress(OSError):
            left = leftovers(self._building)
            if left:
                self.prune((), left)

    def _keys(self) -> Iterator[str]:
        """Of the own store and of the shared ones, each once."""
        folders = (self._environments, *(root / "environments" for root in self._shared))
        yield from dict.fromkeys(key for folder in folders for key in _keys(folder))

    def _open(self, key: str) -> Environment | None:
        folders = (self._environments, *(root / "environments" for root in self._shared))
        return next((found for folder in folders if (found := _opened(folder / key)) is not None), None)

    def _build(
        self, spec: EnvironmentSpec, key: str, *, listener: Listener, how: Provision, rebuild: bool
    ) -> Environment:
        from envpin.envs.store.build import build, describing_faults

        title = f"environment {spec.name}"
        began = time.time()
        with describing_faults(self.root), self._locked(key, listener):
            ready = self._open(key)
            if ready is not None and (not rebuild or (ready.path / RECEIPT).stat().st_mtime > began):
                # Somebody else built it while we waited.
                listener(Step(key="environment", title=title, state="done", detail=f"ready at {ready.path}"))
                return ready
            listener(Step(key="environment", title=title))
            try:
                build(spec, key, self._environments / key, building=self._building, previous=ready,
                      listener=listener, how=how)  # fmt: skip
            except BaseException:
                listener(Step(key="environment", title=title, state="failed"))
                raise
        finished = self._open(key)
        if finished is None:
            raise EnvironmentDamagedError(f"`{self._environments / key}` vanished while it was built")
        seconds = time.time() - began
        count = len(finished.receipt.artifacts)
        detail = f"{counted(count, 'package')} in {seconds:.1f} s"
        listener(Step(key="environment", title=title, state="done", detail=detail))
        return finished

    def _locked(self, key: str, listener: Listener, *, wait: bool = True) -> _Lock:
        from envpin.envs.store.housekeeping import is_of_group

        return _Lock(self._environments / ".locks" / key, listener, wait=wait, group=is_of_group(self.root))


def _keys(environments: Path) -> Iterator[str]:
    try:
        names = sorted(os.listdir(environments))  # noqa: PTH208  names only
    except OSError:
        return
    yield from (name for name in names if not name.startswith("."))


def _opened(path: Path) -> Environment | None:
    python = path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # The interpreter is a link to the base Python, which may have been uninstalled since.
    if not (path / RECEIPT).is_file() or not python.exists():
        return None
    return Environment(path=path, python=python, key=path.name)


def _is_readable(environment: Environment) -> bool:
    try:
        return environment.receipt.key == environment.key
    except EnvironmentDamagedError:
        return False


class _BusyError(Exception):
    """Another process holds the lock, and nobody wanted to wait."""


class _Lock:
    """Exclusive, between processes; released by the system when its holder dies, however it dies."""

    def __init__(self, path: Path, listener: Listener, *, wait: bool, group: bool) -> None:
        from filelock import FileLock

        path.parent.mkdir(parents=True, exist_ok=True)
        # A lock file that the group of a shared store may not open would keep everybody else out.
        self._lock = FileLock(path, mode=0o664 if group else 0o644)
        self._listener = listener
        self._wait = wait

    def __enter__(self) -> None:
        from filelock import Timeout

        try:
            self._lock.acquire(timeout=0.2)
        except Timeout:
            if not self._wait:
                raise _BusyError from None
            self._listener(Note(message="another process is building this environment; waiting for it"))
            self._lock.acquire()

    def __exit__(self, *_exception: object) -> None:
        self._lock.release()
