"""One environment per release: the candidate, everything else at the good end's pins, and only what must move moves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from envpin.core.eras import COMPANION_DAYS
from envpin.envs.refs.pins import Resolver

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpin.bisect.question import Question
    from envpin.envs.locks.lock import Lock
    from envpin.envs.store.identity import EnvironmentSpec


class Move(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A package whose version is not that of the good end; None stands for absent."""

    package: str
    good: str | None
    here: str | None

    def __str__(self) -> str:
        return f"{self.package} {self.good or 'absent'} → {self.here or 'absent'}"


class Holder:
    """Resolves the environment of each candidate. Safe to use from several threads."""

    def __init__(
        self,
        question: Question,
        *,
        uploaded: Mapping[str, str],
        base: Lock | None = None,
        root: Path | None = None,
        offline: bool = False,
    ) -> None:
        """`uploaded` maps a candidate's version to its upload time, and `package==version` to that of a held pin.

        `base` is the lock whose versions the good end keeps; left out, the good end is resolved from its pins alone.
        """
        self._base = base
        self._question = question
        self._uploaded = uploaded
        self._root = root
        self._offline = offline
        self._good: EnvironmentSpec | None = None

    def good(self) -> EnvironmentSpec:
        """The good end's environment.

        Raises:
            ResolutionError, NoInterpreterError, NetworkError, DiskFullError
        """
        if self._good is None:
            self._good = self._resolve(self._question.good, self._base)
        return self._good

    def spec(self, version: str) -> EnvironmentSpec:
        """The environment of one candidate; raises as `good` does."""
        good = self.good()
        return good if version == self._question.good else self._resolve(version, good.lock)

    def moves(self, lock: Lock) -> tuple[Move, ...]:
        """What else differs from the good end, the package under test left out."""
        return tuple(move for move in differences(self.good().lock, lock) if move.package != self._question.package)

    def _resolve(self, version: str, prefer: Lock | None) -> EnvironmentSpec:
        question = self._question
        pin = f"{question.package}=={version}"
        resolver = Resolver(python=question.python, offline=self._offline, root=self._root)
        return resolver.pins(
            (pin, *question.requirements), exclude_newer=self._cutoff(version), prefer=prefer, name=pin
        )

    def _cutoff(self, version: str) -> str | None:
        """No older than the good end, the candidate and every held pin; None where the index does not say when."""
        if self._base is not None:
            return None  # the versions to prefer are all given
        times = [self._uploaded.get(self._question.good), self._uploaded.get(version)]
        if None in times:
            return None
        held = [when for name, when in self._uploaded.items() if "==" in name]
        newest = max(datetime.fromisoformat(when) for when in [*filter(None, times), *held])
        return (newest + timedelta(days=COMPANION_DAYS)).strftime("%Y-%m-%dT00:00:00Z")


def differences(good: Lock, other: Lock) -> tuple[Move, ...]:
    """Every package whose version differs between two locks, by name."""
    before, after = versions(good), versions(other)
    return tuple(
        Move(package=name, good=before.get(name), here=after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    )


def versions(lock: Lock) -> dict[str, str]:
    """Package to version. A lock made for one platform has one version of each."""
    return {package.name: str(package.version) for package in lock.packages}
