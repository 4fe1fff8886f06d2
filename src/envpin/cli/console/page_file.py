"""Where a page is written: an earlier one of the same kind is replaced, anything else is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.errors import InfrastructureError, OutputExistsError
from envpin.core.files import read_head, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

_GENERATOR = '<meta name="generator" content="'
# The mark stands in the head of the page.
_HEAD = 4000


def refuse_other_file(target: Path, *, mark: str, option: str) -> None:
    """
    Raises:
        OutputExistsError: `target` is something else than a page that `mark` made, and not empty.
    """
    head = _head(target)
    if target.is_dir() or (head.strip() and f"{_GENERATOR}{mark}".encode() not in head):
        raise OutputExistsError(
            f"`{target}` exists and is no page of `{mark}`", hint=f"name another file with {option}"
        )


def _head(target: Path) -> bytes:
    try:
        return read_head(target, _HEAD)
    except OSError:
        return b""


def write_page(target: Path, text: str, *, option: str) -> int:
    """Write it, making the folders above it; the number of bytes.

    Raises:
        InfrastructureError: it cannot be written.
    """
    data = text.encode()
    try:
        write_atomically(target, data, parents=True)
    except OSError as error:
        raise InfrastructureError(
            f"`{target}` cannot be written: {error.strerror}", hint=f"name another file with {option}"
        ) from error
    return len(data)
