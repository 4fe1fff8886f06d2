"""`envpin-receipt.json`: what was installed into an environment, and from which artifact. Its presence is the mark that
the environment is complete: it is written last, inside a folder that is only then renamed into place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from envpin.core.errors import EnvironmentDamagedError
from envpin.core.files import read_bounded
from envpin.core.marks import RECEIPT, RECEIPT_SCHEMA
from envpin.core.typed_json import NOT_OF_ITS_SHAPE

if TYPE_CHECKING:
    from pathlib import Path


class Artifact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One installed distribution and the wheel that it came from.

    `record_sha256` is the digest of its RECORD as installed, which in turn names the digest of every file.
    """

    name: str
    version: str
    wheel: str
    hashes: dict[str, str]
    record_sha256: str
    url: str | None = None
    size: int | None = None


class Interpreter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The interpreter that the environment was built on, as it describes itself."""

    version: str
    implementation: str
    base: str
    build: str | None = None
    platform: str | None = None
    machine: str | None = None
    libc: str | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`unrecorded` maps every file that no RECORD lists to its sha256 (the interpreter's settings, the lock, uv's own
    `_virtualenv.py`), and every link to `link:TARGET`."""

    schema: int
    key: str
    name: str
    created: str
    python: str
    interpreter: Interpreter
    platform: dict[str, str]
    lock_sha256: str
    uv: str
    artifacts: tuple[Artifact, ...]
    unrecorded: dict[str, str] = {}

    def artifact(self, name: str) -> Artifact | None:
        """The artifact of the distribution whose normalized name is `name`."""
        return next((one for one in self.artifacts if one.name == name), None)


# It names every file of an environment: some 10 MB for a hundred thousand.
_MOST = 256 * 1024**2


def read_receipt(folder: Path) -> Receipt:
    """The receipt of a finished environment.

    Raises:
        EnvironmentDamagedError: it cannot be read; the environment does not count.
    """
    path = folder / RECEIPT
    try:
        receipt = msgspec.json.decode(read_bounded(path, _MOST), type=Receipt)
    except (OSError, *NOT_OF_ITS_SHAPE) as fault:
        raise EnvironmentDamagedError(
            f"the receipt `{path}` cannot be read: {fault}", hint="envpin env create REF --rebuild"
        ) from fault
    if receipt.schema != RECEIPT_SCHEMA:
        raise EnvironmentDamagedError(
            f"the receipt `{path}` has schema {receipt.schema}; this envpin knows {RECEIPT_SCHEMA}",
            hint="upgrade envpin" if receipt.schema > RECEIPT_SCHEMA else "envpin env create REF --rebuild",
        )
    return receipt


def encode_receipt(receipt: Receipt) -> bytes:
    return msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n"


def is_of_newer(folder: Path) -> bool:
    """Whether a receipt has a schema that only a newer envpin knows: its environment is not ours to judge."""
    try:
        found = msgspec.json.decode(read_bounded(folder / RECEIPT, _MOST), type=_AnyReceipt)
    except (OSError, *NOT_OF_ITS_SHAPE):
        return False
    return found.schema > RECEIPT_SCHEMA


class _AnyReceipt(msgspec.Struct, frozen=True):
    schema: int
