"""Which wheel of a lock went into an environment. After a sync nothing says so, so it is worked out and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpin.core import process
from envpin.core.errors import BuildError, EnvironmentSetupError
from envpin.core.files import digest_of_file
from envpin.envs.locks.hashes import file_tags
from envpin.envs.store.integrity import dist_infos
from envpin.envs.store.receipt import Artifact, Interpreter

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from packaging.pylock import Package, PackageWheel

    from envpin.envs.locks.lock import Lock

# Runs in the pinned interpreter: stdlib only, and nothing newer than Python 3.6.
_DESCRIBE = """
import json, os, platform, sys, sysconfig
libc = "-".join(part for part in platform.libc_ver() if part)
print(json.dumps({
    "version": platform.python_version(),
    "implementation": platform.python_implementation(),
    "base": sys.base_prefix,
    "build": sys.version.replace("\\n", " "),
    "platform": sysconfig.get_platform(),
    "machine": platform.machine(),
    "libc": libc or None,
}))
"""


def describe_interpreter(python: Path) -> Interpreter:
    """What the interpreter of an environment says about itself.

    Raises:
        EnvironmentSetupError: it does not run, or is not there.
    """
    if not python.exists():
        raise EnvironmentSetupError(f"uv reported no fault, but made no interpreter `{python}`")
    completed = process.run(
        [python, "-I", "-S", "-c", _DESCRIBE], env=process.scrubbed_environment(), cwd=Path(python.anchor)
    )
    if completed.status != 0:
        raise EnvironmentSetupError(
            f"the interpreter `{python}` does not run: {completed.stderr.strip() or completed.status}",
            hint="reinstall that Python, or choose another with `--python`",
        )
    facts: dict[str, Any] = json.loads(completed.stdout)
    return Interpreter(**facts)


def installed_artifacts(environment: Path, lock: Lock) -> tuple[Artifact, ...]:
    """The artifact of every installed distribution.

    Raises:
        BuildError: something is installed that the lock does not name.
    """
    found: list[Artifact] = []
    for name, info in dist_infos(environment).items():
        version = info.name.removesuffix(".dist-info").rpartition("-")[2]
        wheel = _wheel_of(lock, name, version, _tags(info))
        if wheel is None:
            raise BuildError(f"`{name} {version}` was installed, but the lock names no such wheel")
        found.append(
            Artifact(
                name=name,
                version=version,
                wheel=wheel.filename,
                hashes=dict(wheel.hashes),
                record_sha256=digest_of_file(info / "RECORD"),
                url=wheel.url,
                size=wheel.size,
            )
        )
    return tuple(found)


def applicable(lock: Lock, interpreter: Interpreter) -> tuple[str, ...]:
    """The names of the packages that the lock installs for an interpreter of this machine, no extras asked for."""
    from packaging.markers import default_environment

    environment: dict[str, str | AbstractSet[str]] = {
        **{str(key): str(value) for key, value in default_environment().items()},
        "implementation_name": interpreter.implementation.lower(),
        "platform_python_implementation": interpreter.implementation,
        "implementation_version": interpreter.version,
        "python_full_version": interpreter.version,
        "python_version": ".".join(interpreter.version.split(".")[:2]),
        "extras": frozenset(),
        "dependency_groups": frozenset(),
    }
    return tuple(
        str(package.name)
        for package in lock.packages
        if package.marker is None or package.marker.evaluate(environment, context="lock_file")
    )


def _wheel_of(lock: Lock, name: str, version: str, tags: frozenset[str]) -> PackageWheel | None:
    """The wheel of the lock whose file name has the tags that the installed WHEEL file states.

    Repaired wheels may state fewer or other tags than their file name, so the best overlap wins; a tie goes to the
    order of the lock, which lists what an installer prefers last.
    """
    from packaging.version import Version

    wheels = [
        wheel
        for package in lock.packages
        if package.name == name and package.version is not None and package.version == Version(version)
        for wheel in _wheels(package)
    ]
    return max(wheels, key=lambda wheel: len(tags & file_tags(wheel.filename)), default=None)


def _wheels(package: Package) -> tuple[PackageWheel, ...]:
    return tuple(package.wheels or ())


def _tags(dist_info: Path) -> frozenset[str]:
    try:
        lines = (dist_info / "WHEEL").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    from packaging.tags import parse_tag

    stated = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("tag:")]
    return frozenset(str(tag) for text in stated for tag in parse_tag(text))
