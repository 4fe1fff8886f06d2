"""Which wheels of a lock fit a platform and a Python, by their tags and markers. Pure, but for this machine's tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging import tags
from packaging.markers import default_environment

from envpin.core.errors import BuildError, UsageError
from envpin.envs.locks.hashes import file_tags
from envpin.envs.machine import platform_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from packaging.pylock import Package, PackageWheel

    from envpin.envs.locks.lock import Lock

# The newest glibc, and the oldest macOS, that another machine is taken to have: those of `locks.portable`.
_GLIBC_MINOR = 28
MACOS = (14, 0)
# platform.machine() and sys.platform of the other machine, and platform.system().
_FACTS = {
    "linux-x86_64": ("linux", "x86_64", "Linux", "posix"),
    "linux-aarch64": ("linux", "aarch64", "Linux", "posix"),
    "macos-arm64": ("darwin", "arm64", "Darwin", "posix"),
    "windows-x86_64": ("win32", "AMD64", "Windows", "nt"),
}
NAMES = tuple(_FACTS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A machine to install on: one of `NAMES`, or None for this one, and a Python version (`3.11`)."""

    platform: str | None
    python: str

    @property
    def name(self) -> str:
        """The platform in the words of `NAMES`; of another kind of machine, as Python names it."""
        own = platform_name()
        return self.platform or {"darwin-arm64": "macos-arm64", "win32-amd64": "windows-x86_64"}.get(own, own)

    def ranks(self) -> dict[str, int]:
        """Every tag that fits, with its rank; 0 is the best."""
        major, minor = (int(part) for part in self.python.split(".")[:2])
        platforms = list(tags.platform_tags()) if self.platform is None else list(_platforms(self.platform))
        interpreter = f"cp{major}{minor}"
        found = [
            *tags.cpython_tags((major, minor), abis=[interpreter], platforms=platforms),
            *tags.compatible_tags((major, minor), interpreter, platforms),
        ]
        return {str(tag): rank for rank, tag in reversed(list(enumerate(found)))}

    def environment(self) -> dict[str, str | AbstractSet[str]]:
        """The variables of markers."""
        values: dict[str, str | AbstractSet[str]] = {
            **{str(key): str(value) for key, value in default_environment().items()},
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "python_version": ".".join(self.python.split(".")[:2]),
            "python_full_version": self.python if self.python.count(".") > 1 else f"{self.python}.0",
            "extras": frozenset(),
            "dependency_groups": frozenset(),
        }
        if self.platform is not None:
            system, machine, name, os_name = _FACTS[self.platform]
            values |= {
                "sys_platform": system, "platform_machine": machine, "platform_system": name, "os_name": os_name,
                "platform_release": "", "platform_version": "",
            }  # fmt: skip
        return values


def checked_target(platform: str | None, python: str) -> Target:
    """
    Raises:
        UsageError: no platform is called this.
    """
    if platform is not None and platform not in _FACTS:
        raise UsageError(f"`{platform}` is no platform", hint=f"say {', '.join(NAMES)}")
    return Target(platform=platform, python=python)


def wheels_for(lock: Lock, target: Target) -> tuple[tuple[Package, PackageWheel], ...]:
    """The wheel of each package that the lock installs on `target`.

    Raises:
        BuildError: packages have no wheel that fits; each is named with what there is.
    """
    found, missing = _fit(lock, target)
    if missing:
        there = {one.name: ", ".join(wheel.filename for wheel in (one.wheels or ())[:2]) for one in missing[:5]}
        listed = "; ".join(f"{one.name} {one.version}: only {there[one.name]}" for one in missing[:5])
        raise BuildError(
            f"`{lock.origin}` has no wheel for {target.name} and Python {target.python} of {listed}"
            + (f"; and {len(missing) - 5} more" if missing[5:] else ""),
            hint="lock again for that platform, or choose another with --platform or --python",
        )
    return tuple(found)


def lacking(lock: Lock, target: Target) -> tuple[str, ...]:
    """The packages, with their versions, that have no wheel for `target`."""
    return tuple(f"{one.name} {one.version}" for one in _fit(lock, target)[1])


def _fit(lock: Lock, target: Target) -> tuple[list[tuple[Package, PackageWheel]], list[Package]]:
    ranks, environment = target.ranks(), target.environment()
    found: list[tuple[Package, PackageWheel]] = []
    missing: list[Package] = []
    for package in lock.packages:
        if package.marker is not None and not package.marker.evaluate(environment, context="lock_file"):
            continue
        fitting = sorted(_fitting(package, ranks), key=lambda one: one[0])
        if fitting:
            found.append((package, fitting[0][1]))
        else:
            missing.append(package)
    return found, missing


def _fitting(package: Package, ranks: dict[str, int]) -> Iterator[tuple[int, PackageWheel]]:
    for wheel in package.wheels or ():
        rank = min((ranks[tag] for tag in file_tags(wheel.filename) if tag in ranks), default=None)
        if rank is not None:
            yield rank, wheel


def _platforms(platform: str) -> Iterator[str]:
    system, machine = _FACTS[platform][:2]
    if system == "darwin":
        yield from tags.mac_platforms(MACOS, machine)
    elif system == "win32":
        yield "win_amd64"
    else:
        older = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
        for minor in range(_GLIBC_MINOR, 4, -1):
            yield f"manylinux_2_{minor}_{machine}"
            if minor in older and (machine == "x86_64" or minor == 17):
                yield f"{older[minor]}_{machine}"
        yield f"linux_{machine}"
