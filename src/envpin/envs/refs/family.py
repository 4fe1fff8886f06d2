"""The environment of a family of the matrix: its committed lock, or its known-good pins resolved as of their time."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from packaging.version import Version

from envpin.core.command_text import command_text
from envpin.core.errors import InputError, ResolutionError
from envpin.core.files import is_folder
from envpin.core.resources import data_path
from envpin.envs.locks.left_out import OLDEST_MINOR
from envpin.envs.locks.lock import Lock, lock_file_name, read_lock
from envpin.envs.locks.portable import LockRequest
from envpin.manifest.closure import MERGE_CLOSURE

if TYPE_CHECKING:
    from envpin.matrix.types import Family, Matrix


# What the wheels of transformers declare since these releases, from the oldest Python that a lock is made for.
_PYTHON_FLOORS = (("4.0", f"3.{OLDEST_MINOR}"), ("5.21", "3.11"))


def find_family(family_id: str, matrix: Matrix) -> Family:
    """The family with this id.

    Raises:
        InputError: there is none.
        ResolutionError: nothing is known that could be pinned for it.
    """
    family = matrix.families.get(family_id)
    if family is None:
        if family_id.endswith((".txt", ".in")):
            raise InputError(
                f"`{family_id}` is no lock, and pins are given as `name==version,…`",
                hint=command_text("uv", "pip", "compile", family_id, "--format", "pylock.toml", "-o", "pylock.toml"),
            )
        raise unknown_family(family_id, matrix)
    if not family.known_good:
        raise ResolutionError(
            f"nothing can be pinned for `{family_id}`: {family.unpinnable or 'no versions are known'}"
        )
    return family


def unknown_family(family_id: str, matrix: Matrix) -> InputError:
    """That a REF of a family's form names none, nor an adapter in the current folder."""
    if is_folder(family_id):
        also = "and the folder of that name holds neither adapter_config.json nor envpin.json"
    else:
        also = "and there is no folder of that name here"
    close = difflib.get_close_matches(family_id, matrix.families, n=1)
    meant = f"did you mean `{close[0]}`? " if close else ""
    return InputError(
        f"`{family_id}` is not a family of the matrix, {also}", hint=f"{meant}`envpin matrix list` shows all of them"
    )


def family_requirements(family: Family) -> tuple[str, ...]:
    """What a merge needs: the family's pins exactly, and the rest of the merge closure in any version that fits."""
    pins = family.pins
    names = [*(name for name in MERGE_CLOSURE if name in pins), *(name for name in pins if name not in MERGE_CLOSURE)]
    return (
        *(f"{name}=={pins[name]}" for name in names),
        *(name for name in MERGE_CLOSURE if name not in pins),
    )


def family_request(family: Family, *, python: str | None = None, exclude_newer: str | None = None) -> LockRequest:
    """What the committed lock of `family` is made from."""
    limit = exclude_newer or family.exclude_newer
    return LockRequest(
        name=family.id,
        requirements=family_requirements(family),
        python=python or family.python or "3.11",
        exclude_newer=as_time(limit) if limit else None,
        command=command_text("envpin", "lock", family.id),
    )


def lock_python(family: Family) -> str:
    """The lowest Python that a committed lock of the family is for: 3.10, or what its transformers declares.

    The lock promises only the Pythons that have every wheel; the family itself was proved with `family.python`.
    """
    release = family.pins.get("transformers")
    floors = [floor for since, floor in _PYTHON_FLOORS if release is not None and Version(release) >= Version(since)]
    return floors[-1] if floors else family.python or "3.11"


def committed_requests(matrix: Matrix) -> dict[str, tuple[LockRequest, tuple[str, ...]]]:
    """Stem of each committed lock to what it is made from, and the families that use it. Pure.

    The request is that of the family whose name the lock has, so that `envpin lock FAMILY` makes the very file.

    Raises:
        InputError: families share a lock and ask for different things.
    """
    by_stem: dict[str, list[Family]] = {}
    for family in matrix.families.values():
        if family.lock is not None:
            by_stem.setdefault(family.lock, []).append(family)
    found: dict[str, tuple[LockRequest, tuple[str, ...]]] = {}
    problems: list[str] = []
    for stem, families in by_stem.items():
        owner = next((one for one in families if lock_file_name(one.id) == f"pylock.{stem}.toml"), families[0])
        request = family_request(owner, python=lock_python(owner))
        wanted = (request.requirements, request.python, request.exclude_newer)
        for family in families:
            other = family_request(family, python=lock_python(family))
            if (other.requirements, other.python, other.exclude_newer) != wanted:
                problems.append(f"families.{family.id}: its pins are not those of `{owner.id}`, whose lock it uses")
        found[stem] = (request, tuple(family.id for family in families))
    if problems:
        raise InputError("families share a lock and ask for different things", problems=problems)
    return found


def committed_lock(family: Family) -> Lock | None:
    """The lock that travels with envpin, or None where the family has none.

    Raises:
        InputError: it should be there and cannot be read.
    """
    if family.lock is None:
        return None
    path = data_path("lockfiles") / lock_file_name(family.lock)
    return read_lock(path) if path.is_file() else None


def as_time(date: str) -> str:
    """A date or RFC 3339 time as a time in UTC: uv would read a bare date in the machine's own time zone.

    Raises:
        InputError: it is neither.
    """
    import datetime as dt

    try:
        moment = dt.datetime.fromisoformat(date)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):  # a zone may move the last day that Python knows beyond it
        raise InputError(f"`{date}` is not a date such as 2024-08-01 or 2024-08-01T12:00:00Z") from None
