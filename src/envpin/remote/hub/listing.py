"""What a repository holds at one commit: its files with their sizes, as the Hub lists them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envpin.core.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HEX = frozenset("0123456789abcdef")


class HubFile(NamedTuple):
    """`size` is in bytes, of the file itself and not of its LFS pointer; `sha256` is known for LFS files only."""

    name: str
    size: int | None
    sha256: str | None


def read_listing(entries: Iterable[object], repository: str) -> Mapping[str, HubFile]:
    """The files in the root folder of a repository, by name; readers look at no other.

    Each entry has `rfilename` or `path`, and `size` and `lfs` where they are known.

    Raises:
        RefusedError: a name would leave its folder.
    """
    found: dict[str, HubFile] = {}
    for entry in entries:
        name = getattr(entry, "rfilename", None) or getattr(entry, "path", None)
        if not isinstance(name, str) or not _is_inside(name):
            raise RefusedError(f"`{repository}` lists a file `{str(name)[:80]}`, which no repository can have")
        if "/" in name:
            continue
        lfs: object = getattr(entry, "lfs", None)
        digest, size = getattr(lfs, "sha256", None), getattr(lfs, "size", None)
        if not isinstance(size, int):
            size = getattr(entry, "size", None)
        found[name] = HubFile(
            name=name,
            size=size if isinstance(size, int) and size >= 0 else None,
            sha256=digest if isinstance(digest, str) and len(digest) == 64 and set(digest) <= _HEX else None,
        )
    return found


def _is_inside(name: str) -> bool:
    """Whether a name with `/` between its parts stays below the folder it is joined to, on every system."""
    parts = name.split("/")
    return (
        not set(name) & {"\\", "\0", ":"} and all(part not in {"", ".", ".."} for part in parts) and name.isprintable()
    )
