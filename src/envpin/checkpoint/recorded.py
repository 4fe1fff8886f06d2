"""The manifest beside the weights of a folder, be it here or on the Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envpin.core.errors import InputError
from envpin.core.files import digest, read_bounded
from envpin.manifest.read import FILE_NAME, HINT, SIZE_LIMIT, parse_manifest

if TYPE_CHECKING:
    from envpin.core.place import Place
    from envpin.manifest.types import Manifest


class Recorded(NamedTuple):
    """`sha256` is that of the manifest's bytes."""

    manifest: Manifest
    sha256: str


def read_recorded(place: Place) -> Recorded | None:
    """The manifest in a folder; None where it has none.

    Raises:
        InputError: it cannot be read, or is no manifest that this envpin knows.
    """
    file = place / FILE_NAME
    if not file.exists():
        return None
    try:
        data = read_bounded(file, SIZE_LIMIT)
    except OSError as failed:
        raise InputError(f"`{file}` cannot be read: {failed.strerror}", path=str(file), hint=HINT) from failed
    return Recorded(parse_manifest(data, path=str(file)), digest(data))
