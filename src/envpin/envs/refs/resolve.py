"""From a reference to an environment that can be built: which lock, for which Python."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from envpin.core.errors import NetworkError, ResolutionError
from envpin.core.events import Note, Step, ignore
from envpin.core.files import digest, write_atomically
from envpin.envs.locks.lock import Lock, parse_lock, read_lock
from envpin.envs.refs.reference import (
    AdapterReference,
    FamilyReference,
    LockReference,
    check_requirements,
    exact_pins,
    parse_reference,
)
from envpin.envs.store.identity import EnvironmentSpec
from envpin.envs.store.local import default_root, this_platform, where_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from envpin.core.events import Listener
    from envpin.envs.locks.portable import LockRequest


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
        case FamilyReference(id=family_id):
            return _of_family(family_id, python=python, listener=listener, offline=offline, refresh=refresh, root=root)
        case AdapterReference(path=path):
            return _of_adapter(path, python=python, listener=listener, offline=offline, refresh=refresh, root=root)
        case _:
            return resolve_pins(
                reference.requirements,
                python=python,
                era=True,
                listener=listener,
                offline=offline,
                refresh=refresh,
                root=root,
            )


def resolve_pins(
    requirements: Sequence[str],
    *,
    python: str | None = None,
    exclude_newer: str | None = None,
    era: bool = False,
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

    `exclude_newer` is an RFC 3339 time: what is not pinned exactly comes from before it; with `era`, it is some days
    after the newest exactly pinned release appeared. `constraints` bound versions
    without asking for packages. `prefer` is a lock whose versions are kept wherever the requirements let
    them. `find_links` are folders or pages with wheels besides the index. Answers are remembered below `root`, the
    root of the store.

    Raises:
        InputError: something is not a requirement.
        ResolutionError, NoInterpreterError, NetworkError, DiskFullError
    """
    python = python or default_python()
    question = _question(
        requirements,
        constraints,
        python=python,
        exclude_newer=exclude_newer or ("era" if era else None),
        prefer=prefer,
        find_links=find_links,
    )
    remembered = (default_root() if root is None else root) / "resolutions" / f"{question}.toml"
    name = name or ",".join(requirements)
    if not refresh and remembered.is_file():
        return EnvironmentSpec(
            name=name, lock=Lock(text=remembered.read_text(encoding="utf-8"), origin=str(remembered)), python=python
        )
    wanted = check_requirements(requirements)
    bounds = check_requirements(constraints) if constraints else ()
    title = f"resolve {name}"
    listener(Step(key="resolve", title=title))

    def compiled(limit: str | None) -> Lock:
        return _compile(
            wanted,
            bounds,
            python=python,
            exclude_newer=limit,
            prefer=prefer,
            find_links=find_links,
            name=name,
            offline=offline,
        )

    try:
        if exclude_newer is None and era:
            lock = _of_their_time(wanted, compiled, listener=listener, offline=offline)
        else:
            lock = compiled(exclude_newer)
    except BaseException:
        listener(Step(key="resolve", title=title, state="failed"))
        raise
    count = len(lock.packages)
    listener(Step(key="resolve", title=title, state="done", detail=f"{count} package{'s' if count != 1 else ''}"))
    if not offline:  # what the cache happened to hold is no answer to keep
        write_atomically(remembered, lock.text, durable=False, parents=True)
    return EnvironmentSpec(name=name, lock=lock, python=python)


def _of_their_time(
    wanted: tuple[str, ...], compiled: Callable[[str | None], Lock], *, listener: Listener, offline: bool
) -> Lock:
    """The lock as of the pins' own time; as of today where the index knows no time, or nothing fitted then."""
    from envpin.envs.locks.era import era_limit

    try:
        limit = era_limit(wanted, offline=offline)
    except NetworkError:
        if not offline:
            raise
        listener(Note(message="offline: what is not pinned is the newest that uv's cache knows", level="warning"))
        limit = None
    try:
        return compiled(limit)
    except ResolutionError:
        if limit is None:
            raise
        lock = compiled(None)
        listener(Note(message=f"nothing from before {limit[:10]} fits all requirements: newer releases are used"))
        return lock


def _compile(
    wanted: tuple[str, ...],
    bounds: tuple[str, ...],
    *,
    python: str,
    exclude_newer: str | None,
    prefer: Lock | None,
    find_links: Sequence[str],
    name: str,
    offline: bool,
) -> Lock:
    import tomllib

    from envpin.envs.locks.artifacts import with_hashes
    from envpin.envs.locks.pylock_text import normalized, write_pylock
    from envpin.envs.uv.command import find_uv

    text = find_uv().compile(
        wanted,
        python=python,
        exclude_newer=exclude_newer,
        always_allow=exact_pins(wanted),
        constraints=bounds,
        prefer=None if prefer is None else prefer.text,
        find_links=find_links,
        offline=offline,
    )
    return parse_lock(write_pylock(normalized(with_hashes(tomllib.loads(text)))), origin=f"the lock of {name}")


def default_python() -> str:
    """The version of the Python that runs envpin, without its patch level."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _of_adapter(
    path: Path, *, python: str | None, listener: Listener, offline: bool, refresh: bool, root: Path | None
) -> EnvironmentSpec:
    """What the manifest recorded; without one, what the matrix knows about the base, said aloud."""
    from envpin.envs.refs.adapter import adapter_manifest, adapter_name, unrecorded
    from envpin.envs.refs.recorded import resolve_recorded

    manifest = adapter_manifest(path)
    if manifest is not None:
        return resolve_recorded(
            manifest, name=adapter_name(path), python=python, listener=listener, offline=offline, root=root
        )
    known = unrecorded(path)
    sure = f" (confidence: {known.confidence})" if known.confidence else ""
    listener(Note(message=f"`{path}` has no envpin.json: using {known.title}{sure}", level="warning"))
    for line in known.evidence:
        listener(Note(message=line))
    if known.family is not None:
        return _of_family(
            known.family.id, python=python, listener=listener, offline=offline, refresh=refresh, root=root
        )
    return _of_request(known.request, python=python, listener=listener, offline=offline, refresh=refresh, root=root)


def _of_family(
    family_id: str, *, python: str | None, listener: Listener, offline: bool, refresh: bool, root: Path | None
) -> EnvironmentSpec:
    """The family's committed lock; its pins resolved where it has none, or none for the asked Python."""
    from envpin.envs.refs.family import committed_lock, family_request, find_family
    from envpin.matrix.load import load_matrix

    family = find_family(family_id, load_matrix())
    request = family_request(family, python=python)
    lock = committed_lock(family)
    if lock is not None:
        try:
            return _of_lock(lock, name=family_id, python=request.python)
        except ResolutionError:
            listener(Note(message=f"the lock of `{family_id}` is not for Python {python}; resolving its pins"))
    return _of_request(request, python=None, listener=listener, offline=offline, refresh=refresh, root=root)


def _of_request(
    request: LockRequest, *, python: str | None, listener: Listener, offline: bool, refresh: bool, root: Path | None
) -> EnvironmentSpec:
    return resolve_pins(
        request.requirements,
        python=python or request.python,
        exclude_newer=request.exclude_newer,
        name=request.name,
        listener=listener,
        offline=offline,
        refresh=refresh,
        root=root,
    )


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
    return digest(json.dumps(question, sort_keys=True))[:32]
