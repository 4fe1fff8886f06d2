"""What building an environment will download and put on the disk, before any of it is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from envpin.core.errors import EnvironmentSetupError, RefusedError
from envpin.core.files import path_of_url
from envpin.core.scratch import scratch
from envpin.core.sizes import counted, size_words
from envpin.core.toml_input import parse_toml
from envpin.envs.locks.fitting import Target, wheels_for
from envpin.envs.locks.pylock_text import write_pylock

if TYPE_CHECKING:
    from collections.abc import Callable

    from packaging.pylock import PackageWheel

    from envpin.envs.locks.lock import Lock
    from envpin.envs.uv.command import Uv

# Installed bytes for each byte of a wheel, measured over 35 environments: libraries of CUDA hardly shrink in a wheel.
_GROWTH, _GROWTH_OF_LARGE = 4.0, 1.7
_LARGE = 300 * 10**6
# Whether uv's cache holds a wheel costs a process; smaller ones count as not held.
_WORTH_ASKING = 10**6


class PlannedDownload(NamedTuple):
    """`packages` are installed, `to_download` of them come over the network: at most `download` bytes, and `unsized`
    further ones whose size their index does not say. `disk` is a rough figure. `sources` are hosts and folders."""

    packages: int
    to_download: int
    download: int
    unsized: int
    disk: int
    sources: tuple[str, ...]

    @property
    def words(self) -> str:
        """For a person, before it begins: numbers first."""
        if not self.to_download:
            return f"nothing to download: {counted(self.packages, 'package')}, about {size_words(self.disk)} on disk"
        more = f" and {self.unsized} of unknown size" if self.unsized else ""
        what = "all" if self.to_download == self.packages else f"{self.to_download} of"
        return (
            f"{size_words(self.download)}{more} to download ({what} {counted(self.packages, 'package')} from "
            f"{', '.join(self.sources)}), about {size_words(self.disk)} on disk"
        )

    def to_json(self) -> dict[str, object]:
        return {**self._asdict(), "sources": list(self.sources)}

    def refuse_above(self, limit: int | None) -> None:
        """
        Raises:
            RefusedError: more would be downloaded than the user allows.
        """
        if limit is not None and self.download > limit:
            raise RefusedError(
                f"{size_words(self.download)} would be downloaded, and at most {size_words(limit)} may be",
                hint="allow more with --max-download, or take a smaller build of torch: --torch-backend cpu",
            )


def planned_download(
    lock: Lock, python: str, *, held: Callable[[PackageWheel], bool] = lambda _wheel: False
) -> PlannedDownload:
    """What the lock means on this machine, for a Python version; `held` says which wheels need no download.

    Raises:
        BuildError: a package has no wheel for this machine.
    """
    chosen = [(wheel, _size(wheel)) for _, wheel in wheels_for(lock, Target(platform=None, python=python))]
    coming = [(wheel, size) for wheel, size in chosen if not _is_local(wheel) and not held(wheel)]
    return PlannedDownload(
        packages=len(chosen),
        to_download=len(coming),
        download=sum(size or 0 for _, size in coming),
        unsized=sum(size is None for _, size in coming),
        disk=round(sum((size or 0) * (_GROWTH if (size or 0) < _LARGE else _GROWTH_OF_LARGE) for _, size in chosen)),
        sources=tuple(sorted({urlsplit(wheel.url or "").hostname or "?" for wheel, _ in coming})),
    )


def cached_by_uv(lock: Lock, uv: Uv, python: Path) -> Callable[[PackageWheel], bool]:
    """Whether uv's cache holds a wheel of `lock`, asked of uv itself in the environment of `python`."""
    entries: dict[str, dict[str, object]] = {}
    for package, parsed in zip(parse_toml(lock.text)["packages"], lock.packages, strict=True):
        for wheel in parsed.wheels or ():
            entries[wheel.filename] = package

    def held(wheel: PackageWheel) -> bool:
        if (wheel.size or 0) < _WORTH_ASKING:
            return False
        with scratch("held") as folder:
            path = Path(folder, "pylock.toml")
            package = {key: value for key, value in entries[wheel.filename].items() if key != "marker"}
            document = {"lock-version": "1.0", "created-by": "envpin", "packages": [package]}
            path.write_text(write_pylock(document), encoding="utf-8")
            try:
                return not uv.would_download(path, python=python)
            except EnvironmentSetupError:
                return False

    return held


def _is_local(wheel: PackageWheel) -> bool:
    return wheel.path is not None or (wheel.url or "").startswith("file:")


def _size(wheel: PackageWheel) -> int | None:
    if wheel.size is not None or not _is_local(wheel):
        return wheel.size
    path = Path(wheel.path) if wheel.path is not None else path_of_url(wheel.url or "")
    return path.stat().st_size if path.is_file() else None
