"""From pins to an environment that can be built. `Resolver` holds what every resolution on the way is told."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envpin.core.errors import BuildError, NetworkError, ResolutionError
from envpin.core.events import Note, Step, ignore
from envpin.core.sizes import counted
from envpin.envs.locks.compile import LockQuestion, compile_lock, remember, remembered
from envpin.envs.locks.requirements import check_requirements
from envpin.envs.locks.torch_build import not_to_be_had, other_build
from envpin.envs.machine import default_python, default_root, shared_roots
from envpin.envs.store.identity import EnvironmentSpec
from envpin.envs.uv.settings import wants_offline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from packaging.specifiers import SpecifierSet

    from envpin.core.errors import EnvpinError
    from envpin.core.events import Listener
    from envpin.envs.locks.lock import Lock
    from envpin.envs.locks.portable import LockRequest
    from envpin.envs.locks.torch_wish import TorchWay, TorchWish

# More releases than any minor version of Python has had.
_PATCHES = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolver:
    """How environments are resolved.

    `python` is a version (`3.11`); None: what is resolved decides, and where it does not, the Python that runs envpin.
    Pins that were resolved before give the same lock again; `refresh` resolves them again. Answers are remembered
    below `root`, the root of the store. `torch` is the build of torch that is wanted, whatever is resolved.
    """

    python: str | None = None
    listener: Listener = ignore
    offline: bool = False
    refresh: bool = False
    root: Path | None = None
    torch: TorchWish | None = None

    @property
    def _is_offline(self) -> bool:
        return self.offline or wants_offline(os.environ)

    def pins(
        self,
        requirements: Sequence[str],
        *,
        exclude_newer: str | None = None,
        era: bool = False,
        constraints: Sequence[str] = (),
        prefer: Lock | None = None,
        find_links: Sequence[str] = (),
        name: str | None = None,
        alone: bool = False,
    ) -> EnvironmentSpec:
        """Resolve requirements for this machine.

        `exclude_newer` is an RFC 3339 time: what is not pinned exactly comes from before it; with `era`, it is some
        days after the newest exactly pinned release appeared. The others are those of `LockQuestion`.

        Raises:
            InputError: something is not a requirement.
            ResolutionError, NoInterpreterError, NetworkError, DiskFullError
        """
        question = LockQuestion(
            name=name or ",".join(requirements),
            requirements=tuple(requirements),
            python=self.python or default_python(),
            exclude_newer=exclude_newer or ("era" if era else None),
            constraints=tuple(constraints),
            prefer=prefer,
            find_links=tuple(find_links),
            torch=self.torch,
            alone=alone,
        )
        roots = (default_root(), *shared_roots()) if self.root is None else (self.root, *shared_roots())
        kept, *others = (root / "resolutions" / f"{question.digest}.toml" for root in roots)
        lock = None
        if not self.refresh:
            lock = remembered(kept, own=True) or next(
                filter(None, (remembered(one, own=False) for one in others)), None
            )
        if lock is None:
            lock, lasting = self._compiled(question)
            if lasting and not self._is_offline:  # what the cache happened to hold is no answer to keep
                remember(kept, lock)
        return EnvironmentSpec(name=question.name, lock=lock, python=question.python)

    def request(self, request: LockRequest, *, prefer: Lock | None = None) -> EnvironmentSpec:
        """Resolve for this machine what a portable lock is made from; raises as `pins` does."""
        resolver = replace(self, python=self.python or request.python)
        return resolver.pins(
            request.requirements, exclude_newer=request.exclude_newer, name=request.name, prefer=prefer
        )

    def lock(self, lock: Lock, *, name: str) -> EnvironmentSpec:
        """The environment of a finished lock.

        Raises:
            InputError: it is not a lock.
            ResolutionError: it is not for this Python.
        """
        wanted = self.python or _python_for(lock)
        requires = lock.pylock.requires_python
        if requires is not None and not _may_be(wanted, requires):
            raise ResolutionError(
                f"`{lock.origin}` is for Python {requires}, not {wanted}", hint="leave out `--python`"
            )
        return EnvironmentSpec(name=name, lock=lock, python=wanted)

    def _compiled(self, question: LockQuestion) -> tuple[Lock, bool]:
        """The lock, and whether it is the answer tomorrow too: not where an index was out of reach."""
        check_requirements(question.requirements)  # a bad one is refused before a step begins
        title = f"resolve {question.name}"
        self.listener(Step(key="resolve", title=title))
        try:
            lock, missed = self._by_ways(question)
        except BaseException:
            self.listener(Step(key="resolve", title=title, state="failed"))
            raise
        count = len(lock.packages)
        detail = counted(count, "package")
        self.listener(Step(key="resolve", title=title, state="done", detail=detail))
        if question.torch is not None and (said := other_build(question.torch, lock, missed)) is not None:
            self.listener(said)
        return lock, not any(isinstance(fault, NetworkError) for fault in missed)

    def _by_ways(self, question: LockQuestion) -> tuple[Lock, list[EnvpinError]]:
        """The lock of the first way that works, and why those before it did not.

        Raises:
            ResolutionError, NetworkError, …: of the first way, where none works.
        """
        missed: list[EnvpinError] = []
        for way in question.ways:
            try:
                return self._of_time(question, way), missed
            except (ResolutionError, BuildError, NetworkError) as fault:
                missed.append(fault)
        wish = question.torch
        raise (
            missed[-1] if len(missed) == 1 or (wish is not None and not wish.required) else not_to_be_had(wish, missed)
        )

    def _of_time(self, question: LockQuestion, way: TorchWay) -> Lock:
        if question.exclude_newer == "era":
            return self._of_their_time(question, way)
        return compile_lock(question, way, exclude_newer=question.exclude_newer, offline=self._is_offline)

    def _of_their_time(self, question: LockQuestion, way: TorchWay) -> Lock:
        """The lock as of the pins' own time; as of today where the index knows no time, or nothing fitted then."""
        from envpin.envs.locks.era import era_limit

        try:
            limit = era_limit(check_requirements(question.requirements), offline=self._is_offline)
        except NetworkError:
            if not self._is_offline:
                raise
            message = "offline: what is not pinned is the newest that uv's cache knows"
            self.listener(Note(message=message, level="warning"))
            limit = None
        try:
            return compile_lock(question, way, exclude_newer=limit, offline=self._is_offline)
        except ResolutionError:
            if limit is None or way is not question.ways[-1]:
                raise
            lock = compile_lock(question, way, exclude_newer=None, offline=self._is_offline)
            message = f"nothing from before {limit[:10]} fits all requirements: newer releases are used"
            self.listener(Note(message=message))
            return lock


def _python_for(lock: Lock) -> str:
    """This Python where the lock allows it, else the lowest that it allows."""
    requires = lock.pylock.requires_python
    own = default_python()
    if requires is None or requires.contains(".".join(map(str, sys.version_info[:3]))):
        return own
    fitting = [minor for minor in range(8, 30) if _may_be(f"3.{minor}", requires)]
    if not fitting:
        raise ResolutionError(f"`{lock.origin}` asks for Python {requires}, which does not exist")
    return f"3.{fitting[0]}"


def _may_be(python: str, requires: SpecifierSet) -> bool:
    """Whether some release of a Python is let in; uv holds the one that it takes against the lock."""
    if python.count(".") > 1:
        return requires.contains(python)
    return any(requires.contains(f"{python}.{patch}") for patch in range(_PATCHES))
