"""Environments between two ends: the good end's lock with some packages taken from the bad end's."""

from __future__ import annotations

from email.parser import HeaderParser
from typing import TYPE_CHECKING

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from envpin.bisect.environments.changed import PackageChange
from envpin.core.sizes import counted
from envpin.core.toml_input import parse_toml
from envpin.envs.locks.lock import parse_lock
from envpin.envs.store.identity import EnvironmentSpec

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.bisect.environments.changed import Subset
    from envpin.envs.locks.lock import Lock


class Ends:
    """The two ends of a changed environment, and every mixture of them, for one Python."""

    def __init__(self, good: Lock, bad: Lock, *, python: str) -> None:
        self.python = python
        self.locks = (good, bad)
        self._frame = parse_toml(good.text)
        self._good, self._bad = _tables(good, python), _tables(bad, python)
        self.changes = tuple(
            PackageChange(package=name, good=_version(self._good.get(name)), bad=_version(self._bad.get(name)))
            for name in sorted({*self._good, *self._bad})
            if _version(self._good.get(name)) != _version(self._bad.get(name))
        )

    def lock(self, moved: Subset) -> Lock:
        """The good end's lock with the packages of `moved` as the bad end has them."""
        import tomlkit

        tables = []
        for name in sorted({*self._good, *self._bad}):
            # Where the version is the same the good end's artifact stays, so that only moves make a difference.
            table = self._bad.get(name) if name in moved else self._good.get(name)
            if table is not None:
                tables.append({key: value for key, value in table.items() if key not in {"marker", "dependencies"}})
        document: dict[str, object] = {
            key: self._frame[key] for key in ("lock-version", "created-by") if key in self._frame
        }
        document["requires-python"] = f">={self.python}"
        return parse_lock(tomlkit.dumps({**document, "packages": tables}), origin="a mixture of both ends")

    def spec(self, moved: Subset) -> EnvironmentSpec:
        name = "the good end" if not moved else f"the good end with {counted(len(moved), 'move')}"
        return EnvironmentSpec(name=name, lock=self.lock(moved), python=self.python)

    @property
    def everything(self) -> Subset:
        return frozenset(change.package for change in self.changes)


def declared_requirements(environment: Path) -> dict[tuple[str, str], list[str]]:
    """What each installed distribution requires, from the METADATA in the environment's site-packages."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in environment.glob("lib/python*/site-packages/*.dist-info/METADATA"):
        # Headers end at the first empty line; the description after it may be megabytes.
        head = path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
        message = HeaderParser().parsestr(head)
        name = str(canonicalize_name(message["Name"] or ""))
        found[name, message["Version"] or ""] = [str(one) for one in message.get_all("Requires-Dist") or []]
    return found


def _tables(lock: Lock, python: str) -> dict[str, dict[str, object]]:
    """The package tables that apply here, by name: a lock for many platforms may hold a package more than once."""
    environment = {"python_version": python, "python_full_version": f"{python}.0" if python.count(".") == 1 else python}
    tables: dict[str, dict[str, object]] = {}
    for table in parse_toml(lock.text)["packages"]:
        marker = table.get("marker")
        if marker is None or Marker(marker).evaluate(environment):
            tables[str(canonicalize_name(table["name"]))] = table
    return tables


def _version(table: dict[str, object] | None) -> str | None:
    return None if table is None else str(table["version"])
