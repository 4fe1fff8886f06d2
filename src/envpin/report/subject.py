"""What `envpin report` and `envpin card` were pointed at: a merged model, a recorded run, or a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from envpin.core.errors import InputError
from envpin.core.files import exists, is_folder, read_bounded
from envpin.core.typed_json import NOT_OF_ITS_SHAPE
from envpin.manifest.read import FILE_NAME as MANIFEST
from envpin.replay.record import FILE_NAME as RECORD

if TYPE_CHECKING:
    from pathlib import Path

PageKind = Literal["merge", "manifest", "diff"]
_LARGEST = 64_000_000
_FOLDER = "a folder with envpin-merge.json or envpin.json"
_HINT = f"{_FOLDER}, one of the two, or a file of `envpin diff A B --json`"


class PageSubject(NamedTuple):
    """`folder` holds what the record tells of; of a comparison it is None, and `file` is the document."""

    kind: PageKind
    file: Path
    folder: Path | None


class _Shape(msgspec.Struct):
    inputs_digest: str | None = None
    changes: list[object] | None = None


def find_subject(path: Path) -> PageSubject:
    """
    Raises:
        InputError: it is nothing that a page is made of.
    """
    if is_folder(path):
        for name, known in _NAMES.items():
            if exists(path / name):
                return PageSubject(known, path / name, path)
        raise InputError(f"`{path}` holds neither {RECORD} nor {MANIFEST}", path=path, hint=f"give {_FOLDER}")
    if not exists(path):
        raise InputError(f"`{path}` does not exist", path=path, hint=f"give {_HINT}")
    try:
        shape = msgspec.json.decode(read_bounded(path, _LARGEST), type=_Shape)
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror}", path=path) from error
    except NOT_OF_ITS_SHAPE as error:
        raise InputError(f"`{path}` is no JSON document of envpin: {error}", path=path, hint=f"give {_HINT}") from error
    if shape.changes is not None:
        return PageSubject("diff", path, None)
    kind: PageKind = "merge" if shape.inputs_digest is not None else "manifest"
    return PageSubject(kind, path, path.absolute().parent)


_NAMES: dict[str, PageKind] = {RECORD: "merge", MANIFEST: "manifest"}
