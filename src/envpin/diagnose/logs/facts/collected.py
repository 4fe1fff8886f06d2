"""Facts that were read from wheels and travel with envpin, next to the modules that ask them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from envpin.core.files import read_bounded

_T = TypeVar("_T")


def read_collected(name: str, shape: type[_T], *, most: int) -> _T:
    """The file of that name in this folder, of at most `most` bytes."""
    return msgspec.json.decode(read_bounded(Path(__file__).with_name(name), most), type=shape)
