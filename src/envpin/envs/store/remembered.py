"""Which files of an environment were hashed and found right, by what the file system says of them since.

Reading 5 GB again before each merge took 6 to 8 s. A file whose size, times, and inode are those it had when it was
hashed is the same file: whoever writes into it moves its time of change (`ctime`), which no program can set back.
`env verify` does not rely on this and reads everything.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from envpin.core.files import digest, read_bounded, write_cache
from envpin.core.marks import RECEIPT
from envpin.core.typed_json import NOT_OF_ITS_SHAPE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HASHED = ".envpin-hashed"

# A file that changed within the kernel's own tick before it was looked at may change again without a new time: at most
# 10 ms (CONFIG_HZ=100), and two seconds on FAT. git calls such an entry "racily clean".
_RACY_NS = 2_000_000_000

# Size, mtime and ctime in nanoseconds, inode.
Fingerprint = tuple[int, int, int, int]


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """`receipt` is the digest of the receipt that vouched for the files."""

    receipt: str
    files: dict[str, Fingerprint]


def fingerprint_of(status: os.stat_result) -> Fingerprint:
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def read_remembered(environment: Path) -> dict[str, Fingerprint]:
    """What was right when it was last hashed; empty where nothing is known, or the receipt is another by now."""
    if os.name == "nt":
        return {}  # there, ctime is the time of creation
    try:
        found = msgspec.json.decode(read_bounded(environment / HASHED, 256 * 1024**2), type=Remembered)
    except (OSError, *NOT_OF_ITS_SHAPE):
        return {}
    return found.files if found.receipt == _receipt_digest(environment) else {}


def remember(environment: Path, files: Mapping[str, Fingerprint], *, began: int) -> None:
    """Note that these files are right. `began` is when they were first looked at, in nanoseconds since the epoch; what
    changed just before that is hashed again next time. A store that cannot be written remembers nothing."""
    settled = {name: one for name, one in files.items() if one[2] < began - _RACY_NS}
    document = Remembered(receipt=_receipt_digest(environment), files=settled)
    write_cache(environment / HASHED, msgspec.json.encode(document))


def _receipt_digest(environment: Path) -> str:
    return digest((environment / RECEIPT).read_bytes())
