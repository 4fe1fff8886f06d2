"""Past a damaged cache of uv: what it cannot install any more, or gives other bytes of, is had from elsewhere."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.errors import BuildError, CacheDamagedError, NetworkError
from envpin.core.events import Note
from envpin.core.files import digest_of_file
from envpin.core.marks import LOCK_NAME
from envpin.core.scratch import remove_surely, scratch
from envpin.core.sizes import counted
from envpin.envs.store.fresh import contested_files
from envpin.envs.store.integrity import dist_infos, matches_record, recorded_files
from envpin.envs.uv.command import interpreter_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from envpin.core.events import Listener
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.envs.store.provision import Provision
    from envpin.envs.uv.command import Uv


_OFFLINE = "run it again without `--offline`, so that they are fetched again"


def install_anew(
    spec: EnvironmentSpec,
    folder: Path,
    fault: CacheDamagedError,
    *,
    uv: Uv,
    how: Provision,
    listener: Listener,
) -> None:
    """Install into an environment made anew, where uv could not install what its cache holds.

    First the packages that uv stops at are fetched again, which heals its cache; uv does not do that for wheels that
    lie in a local folder, so then everything comes through an empty cache.

    Raises:
        CacheDamagedError: the rest is not there, and nothing may be downloaded.
        BuildError, NetworkError, DiskFullError, RefusedError: it cannot be installed so, either.
    """
    again: set[str] = set()
    reason: CacheDamagedError | None = fault
    while reason is not None and reason.package not in {None, *again} and not how.offline:
        again.add(str(reason.package))
        listener(Note(message=f"uv's cache is damaged: fetching {', '.join(sorted(again))} again", level="warning"))
        python = _emptied(folder, spec, uv)
        reason = None
        try:
            uv.sync(folder / LOCK_NAME, python=python, refresh=sorted(again), listener=listener)
        except CacheDamagedError as another:
            reason = another
    if reason is None:
        return
    listener(Note(message="uv's cache is damaged: installing through an empty one", level="warning"))
    python = _emptied(folder, spec, uv)
    with _source(spec, folder, how) as source, _private_cache(folder) as cache:
        try:
            uv.sync(source, python=python, cache=cache, offline=how.offline, listener=listener)
        except CacheDamagedError as last:
            raise BuildError(last.message, hint="get that wheel again, or lock another release") from last
        except NetworkError as missing:
            if not how.offline:
                raise
            raise CacheDamagedError(fault.message, hint=_OFFLINE, package=fault.package) from missing


def heal(
    spec: EnvironmentSpec,
    folder: Path,
    suspects: AbstractSet[str],
    doubtful: AbstractSet[str],
    *,
    uv: Uv,
    how: Provision,
    listener: Listener,
) -> tuple[bool, dict[str, str]]:
    """Replace what came damaged out of uv's cache: whether anything was, and the digests of files whose wheel records
    them wrongly. Packages in `doubtful` are replaced whatever they hold.

    First past the cache, which heals the cache as well; what is still not as recorded is installed once more through an
    empty cache. Those bytes are the locked artifact's own, so where they still differ from RECORD, it is the RECORD
    that is wrong (some published wheels are like that, or another wheel wrote over the file), and the receipt vouches
    for the file instead.

    Raises:
        CacheDamagedError: it cannot be healed offline.
        BuildError: files are missing even so.
    """
    damaged = _not_as_recorded(folder, suspects)
    names = sorted({*damaged, *doubtful})
    if not names:
        return False, {}
    python = interpreter_of(folder)
    if not how.offline:
        listener(Note(message=f"uv's cache may be damaged: fetching {', '.join(names)} again", level="warning"))
        uv.sync(folder / LOCK_NAME, python=python, refresh=names, reinstall=names, listener=listener)
    left = sorted({*_not_as_recorded(folder, suspects), *doubtful})
    if left:
        if how.offline:
            listener(Note(message=f"uv's cache may be damaged: installing {', '.join(left)} past it", level="warning"))
        with _source(spec, folder, how) as source, _private_cache(folder) as cache:
            try:
                uv.sync(source, python=python, reinstall=left, cache=cache, offline=how.offline, listener=listener)
            except NetworkError as fault:
                if not how.offline:
                    raise
                raise CacheDamagedError(
                    f"uv's cache holds files of {', '.join(left)} that are not what their wheel recorded, and nothing "
                    "may be downloaded",
                    hint=_OFFLINE,
                    package=left[0],
                ) from fault
    wrong = _not_as_recorded(folder, suspects)
    missing = [file for files in wrong.values() for file in files if not (folder / file).is_file()]
    if missing:
        raise BuildError(
            f"{counted(len(missing), 'file')} of {', '.join(sorted(wrong))} cannot be had from the wheel, among them "
            f"`{missing[0]}`",
            hint="lock another release of it",
        )
    return True, {file: digest_of_file(folder / file) for files in wrong.values() for file in files}


def _not_as_recorded(folder: Path, packages: AbstractSet[str]) -> dict[str, list[str]]:
    """Per package, the files that are missing or not what RECORD says, relative to the environment; those that another
    RECORD has as they are do not count."""
    if not packages:
        return {}
    recorded = {
        package: {one.name: one for one in recorded_files(folder, package, info)}
        for package, info in dist_infos(folder).items()
    }
    contested = contested_files(recorded.values())
    found: dict[str, list[str]] = {}
    for package in sorted(packages & recorded.keys()):
        for name, one in recorded[package].items():
            lines = [files[name] for files in recorded.values() if name in files] if name in contested else [one]
            good = (folder / name).is_file() and any(matches_record(folder, line) for line in lines)
            if not good and "__pycache__" not in name:
                found.setdefault(package, []).append(name)
    return found


def _emptied(folder: Path, spec: EnvironmentSpec, uv: Uv) -> Path:
    """The interpreter of an environment in place of the one in `folder`, which an installation broke off."""
    shutil.rmtree(folder)
    folder.mkdir()
    python = uv.create(folder, python=spec.python)
    (folder / LOCK_NAME).write_text(spec.lock.text, encoding="utf-8")
    return python


@contextmanager
def _source(spec: EnvironmentSpec, folder: Path, how: Provision) -> Iterator[Path]:
    """The lock to install from: with the paths of the wheels that are kept, where some are."""
    kept = how.shelves[0].localized(spec.lock, above=how.shelves[1:])
    if kept is None:
        yield folder / LOCK_NAME
        return
    with scratch("kept") as place:
        source = Path(place, LOCK_NAME)
        source.write_text(kept, encoding="utf-8")
        yield source


@contextmanager
def _private_cache(folder: Path) -> Iterator[Path]:
    private = folder.with_name(f"{folder.name}-cache")
    try:
        yield private
    finally:
        remove_surely(private)
