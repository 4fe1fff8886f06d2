"""From a reference to an environment that can be built: which lock, for which Python."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import TYPE_CHECKING

from envpin.envs.identity import EnvironmentSpec
from envpin.envs.local import default_root, this_platform, where_settings
from envpin.envs.lock import Lock, parse_lock, read_lock
from envpin.envs.reference import (
    AdapterReference,
    FamilyReference,
    LockReference,
    check_requirements,
    parse_reference,
    pinned_names,
)
from envpin.errors import InputError, ResolutionError
from envpin.events import Step, ignore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from envpin.events import Listener


def resolve(
    reference_text: str,
    *,
    python: str | None = None,
    listener: Listener = ignore,
    offline: bool = False,
    refresh: bool = False,
    root: Path | None = None,
) -> EnvironmentSpec:
    """The environment that a reference means.

    `python` is a version (`3.11`); left out, the reference decides, and where it does not, the Python that runs envpin.
    Literal pins that were resolved before give the same lock again; `refresh` resolves them anew.

    Raises:
        InputError: the reference, or what it names, cannot be read.
        ResolutionError, NoInterpreterError, NetworkError, DiskFullError
    """
    reference = parse_reference(reference_text)
    match reference:
        case LockReference(path=path):
            return _of_lock(read_lock(path), name=_stem(path), python=python)
        case FamilyReference():
            raise InputError(f"`{reference.id}` is not a family of the matrix", hint="envpin matrix list")
        case AdapterReference():
            raise InputError(f"`{reference.path}` has no manifest", path=reference.path)
        case _:
            return resolve_pins(
                reference.requirements, python=python, listener=listener, offline=offline, refresh=refresh, root=root
            )


def resolve_pins(
    requirements: Sequence[str],
    *,
    python: str | None = None,
    exclude_newer: str | None = None,
    constraints: Sequence[str] = (),
    prefer: Lock | None = None,
    find_links: Sequence[str] = (),
    name: str | None = None,
    listener: Listener = ignore,
    offline: bool = False,
    refresh: bool = False,
    root: Path | None = None,
) -> EnvironmentSpec:
    """Resolve requirements for this machine. The same question gives the same lock again until `refresh`.

    `exclude_newer` is an RFC 3339 time: what is not pinned exactly comes from before it. `constraints` bound versions
    without asking for packages. `prefer` is a lock whose versions are kept wherever the requirements let
    them. `find_links` are folders or pages with wheels besides the index. Answers are remembered below `root`, the
    root of the store.

    Raises:
        InputError: something is not a requirement.
        ResolutionError, NoInterpreterError, NetworkError, DiskFullError
    """
    python = python or default_python()
    question = _question(
        requirements, constraints, python=python, exclude_newer=exclude_newer, prefer=prefer, find_links=find_links
    )
    remembered = (default_root() if root is None else root) / "resolutions" / f"{question}.toml"
    name = name or ",".join(requirements)
    if not refresh and remembered.is_file():
        return EnvironmentSpec(
            name=name, lock=Lock(text=remembered.read_text(encoding="utf-8"), origin=str(remembered)), python=python
        )
    import tomllib

    from envpin.envs.pylock_text import normalized, write_pylock
    from envpin.envs.uv import find_uv

    wanted = check_requirements(requirements)
    bounds = check_requirements(constraints) if constraints else ()
    listener(Step(key="resolve", title=f"resolve {name}"))
    try:
        text = find_uv().compile(
            wanted,
            python=python,
            exclude_newer=exclude_newer,
            always_allow=pinned_names(wanted),
            constraints=bounds,
            prefer=None if prefer is None else prefer.text,
            find_links=find_links,
            offline=offline,
        )
    except BaseException:
        listener(Step(key="resolve", title=f"resolve {name}", state="failed"))
        raise
    lock = parse_lock(write_pylock(normalized(tomllib.loads(text))), origin=f"the lock of {name}")
    listener(Step(key="resolve", title=f"resolve {name}", state="done", detail=f"{len(lock.packages)} packages"))
    _remember(remembered, lock.text)
    return EnvironmentSpec(name=name, lock=lock, python=python)


def default_python() -> str:
    """The version of the Python that runs envpin, without its patch level."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _of_lock(lock: Lock, *, name: str, python: str | None) -> EnvironmentSpec:
    wanted = python or _python_for(lock)
    requires = lock.pylock.requires_python
    if requires is not None and not requires.contains(f"{wanted}.0" if wanted.count(".") == 1 else wanted):
        raise ResolutionError(f"`{lock.origin}` is for Python {requires}, not {wanted}", hint="leave out `--python`")
    return EnvironmentSpec(name=name, lock=lock, python=wanted)


def _python_for(lock: Lock) -> str:
    """This Python where the lock allows it, else the lowest that it allows."""
    requires = lock.pylock.requires_python
    own = default_python()
    if requires is None or requires.contains(f"{own}.0"):
        return own
    fitting = [minor for minor in range(8, 30) if requires.contains(f"3.{minor}.0")]
    if not fitting:
        raise ResolutionError(f"`{lock.origin}` asks for Python {requires}, which does not exist")
    return f"3.{fitting[0]}"


def _stem(path: Path) -> str:
    return path.name.removeprefix("pylock.").removesuffix(".toml").removesuffix("pylock") or "pylock"


def _question(
    requirements: Sequence[str],
    constraints: Sequence[str],
    *,
    python: str,
    exclude_newer: str | None,
    prefer: Lock | None,
    find_links: Sequence[str],
) -> str:
    question = {
        "requirements": sorted(requirements),
        "constraints": sorted(constraints),
        "python": python,
        "exclude_newer": exclude_newer,
        **({} if prefer is None else {"prefer": prefer.digest}),
        "find_links": list(find_links),
        "where": where_settings(os.environ),
        "platform": this_platform(),
    }
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode("utf-8")).hexdigest()[:32]


def _remember(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
