"""What was run, as data: one entry for one capability of one family in one environment. Read, name, keep, write.

`matrix verify` and `bisect` write such a document, `matrix add` takes it, and what is kept lies beside the matrix:
`evidence.json` for the one that travels with envpin, `NAME.evidence.json` for a user's `NAME.toml`.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from envpin.errors import InputError
from envpin.matrix.convert import problems_of
from envpin.matrix.types import GRADES, Break, Grade

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMA = 1
KIND = "matrix-evidence"
_SHIPPED = Path(__file__).with_name("evidence.json")

Outcome = Literal["ok", "fail", "timeout", "untestable"]
Capability = Literal[
    "import", "config", "load", "forward", "generate", "train", "save", "reload", "load-adapter", "merge", "cross-merge"
]
# What a capability that was seen to work proves. `config` reads a file only; `load-adapter` needs a trained adapter.
PROVES: Mapping[str, Grade] = {
    "import": "import", "config": "import", "load": "load", "forward": "load", "generate": "load", "train": "train",
    "save": "train", "reload": "train", "load-adapter": "train", "merge": "merge-verified",
    "cross-merge": "merge-verified",
}  # fmt: skip


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One run. `packages` maps names to the versions that were installed, at least those that matter.

    `trained_with` holds the versions that an adapter was trained with, where it was merged elsewhere. `lock_digest` is
    the digest of the lock that the environment was built from, `error` the first lines of what it said, `seconds` the
    time it took without building the environment, `date` the day, `platform` such as `linux-x86_64`, `tool` such as
    `envpin matrix verify 0.1.0`. `untestable` says nothing about the versions: no environment, or the machine's fault.
    """

    family: str
    capability: Capability
    packages: dict[str, str]
    python: str
    outcome: Outcome
    date: str
    platform: str
    tool: str
    trained_with: dict[str, str] = {}
    lock_digest: str | None = None
    error: str = ""
    seconds: float = 0.0

    @property
    def id(self) -> str:
        """A name that stays the same when the same thing is run again: `llama3.1:merge:4.43.1:0a1b2c3d`."""
        what = json.dumps([self.packages, self.python, self.platform, self.trained_with], sort_keys=True)
        short = hashlib.sha256(what.encode()).hexdigest()[:8]
        return f"{self.family}:{self.capability}:{self.packages.get('transformers', '-')}:{short}"


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A file of evidence. `breaks` are boundaries that a search found, by a proposed id."""

    schema: int
    kind: str
    entries: tuple[Entry, ...] = ()
    breaks: dict[str, Break] = {}


def evidence_path(matrix: Path | None = None) -> Path:
    """Where the evidence of a matrix is kept; of the one that travels with envpin where `matrix` is None."""
    from envpin.resources import data_path

    if matrix is None or matrix.resolve() == data_path("compat_matrix.toml").resolve():
        return _SHIPPED
    return matrix.with_name(f"{matrix.stem}.evidence.json")


def load_results(path: Path | None = None) -> dict[str, Entry]:
    """What is kept at `path` (`evidence_path()` where it is None), by entry id; nothing where there is no file.

    Raises:
        InputError: the file is not such a document.
    """
    source = path or evidence_path()
    if not source.exists():
        return {}
    return {entry.id: entry for entry in read_document(source).entries}


def read_document(path: Path) -> Document:
    """Read a file of evidence.

    Raises:
        InputError: it cannot be read, or is not one; every problem with its place.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror}", path=path) from error
    try:
        document = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise InputError(f"`{path}` is not JSON: {error}", path=path) from error
    return parse_document(document, source=str(path))


def parse_document(document: Any, *, source: str) -> Document:
    """The typed form of a parsed file.

    Raises:
        InputError: as `read_document`.
    """
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind != KIND:
        raise InputError(
            f"`{source}` is not evidence: its kind is {json.dumps(kind)}, not {json.dumps(KIND)}", path=source,
            hint="take the file that `envpin matrix verify -o` or `envpin bisect` wrote",
        )  # fmt: skip
    problems = problems_of(document, Document)
    if not problems and document.get("schema", SCHEMA) != SCHEMA:
        problems = [f"schema: this envpin reads {SCHEMA}, not {document['schema']}"]
    if problems:
        raise InputError(f"`{source}` is not evidence that can be read", path=source, problems=problems)
    return msgspec.convert(document, Document)


def encode_results(entries: Iterable[Entry]) -> bytes:
    """The file: sorted by id and one entry a line, so that a change reads well in a diff."""
    lines = ",\n".join(
        msgspec.json.encode(entry).decode() for _, entry in sorted({entry.id: entry for entry in entries}.items())
    )
    return f'{{"schema":{SCHEMA},"kind":"{KIND}","entries":[\n{lines}\n]}}\n'.encode()


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside `path`, flush to the disk, rename: a reader sees the old file or the new one.

    Raises:
        OSError
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def reached(entries: Iterable[Entry]) -> Grade | None:
    """The best grade that these runs of one environment prove. What comes after a failure proves nothing."""
    order = [*PROVES]
    runs = list(entries)
    failed = min((order.index(one.capability) for one in runs if one.outcome == "fail"), default=len(order))
    worked = [one.capability for one in runs if one.outcome == "ok" and order.index(one.capability) < failed]
    return max((PROVES[capability] for capability in worked), key=GRADES.index, default=None)
