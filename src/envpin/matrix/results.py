"""What was run, as data: one entry for one capability of one family in one environment. Read, name, keep, write.

`matrix verify` and `bisect` write such a document, `matrix add` takes it, and what is kept lies beside the matrix:
`evidence.json` for the one that travels with envpin, `NAME.evidence.json` for a user's `NAME.toml`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from envpin.core.errors import InputError
from envpin.core.files import digest, read_bounded
from envpin.core.typed_json import NOT_OF_ITS_SHAPE
from envpin.matrix.convert import problems_of
from envpin.matrix.types import GRADES, Break, Grade

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMA = 1
KIND = "matrix-evidence"
# The evidence that travels with envpin has some MB.
_MAX_BYTES = 256_000_000
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


class EvidenceRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
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
        short = digest(what)[:8]
        return f"{self.family}:{self.capability}:{self.packages.get('transformers', '-')}:{short}"


class RunEnvironment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What many runs of a file have in common, written once; `date` and `tool` hold for those that name no other."""

    packages: dict[str, str]
    python: str
    platform: str
    date: str
    tool: str
    lock_digest: str | None = None


class EvidenceFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A file of evidence. `breaks` are boundaries that a search found, by a proposed id."""

    schema: int
    kind: str
    entries: tuple[EvidenceRun, ...] = ()
    breaks: dict[str, Break] = {}


def evidence_path(matrix: Path | None = None) -> Path:
    """Where the evidence of a matrix is kept; of the one that travels with envpin where `matrix` is None."""
    from envpin.core.resources import data_path

    if matrix is None or matrix.resolve() == data_path("compat_matrix.toml").resolve():
        return _SHIPPED
    return matrix.with_name(f"{matrix.stem}.evidence.json")


def load_results(path: Path | None = None) -> dict[str, EvidenceRun]:
    """What is kept at `path` (`evidence_path()` where it is None), by entry id; nothing where there is no file.

    Raises:
        InputError: the file is not such a document.
    """
    source = path or evidence_path()
    if not source.exists():
        return {}
    return {entry.id: entry for entry in read_document(source).entries}


def read_document(path: Path) -> EvidenceFile:
    """Read a file of evidence.

    Raises:
        InputError: it cannot be read, or is not one; every problem with its place.
    """
    try:
        data = read_bounded(path, _MAX_BYTES)
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror}", path=path) from error
    try:
        document = msgspec.json.decode(data)
    except NOT_OF_ITS_SHAPE as error:
        raise InputError(f"`{path}` is not JSON: {error}", path=path) from error
    return parse_document(document, source=str(path))


def parse_document(document: Any, *, source: str) -> EvidenceFile:
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
    document, problems = _with_environments(document)
    problems = problems or problems_of(document, EvidenceFile)
    if not problems and document.get("schema", SCHEMA) != SCHEMA:
        problems = [f"schema: this envpin reads {SCHEMA}, not {document['schema']}"]
    if problems:
        raise InputError(f"`{source}` is not evidence that can be read", path=source, problems=problems)
    return msgspec.convert(document, EvidenceFile)


def _with_environments(document: dict[str, Any]) -> tuple[dict[str, object], list[str]]:
    """The document with each entry's `in` and `trained_in` replaced by what those environments hold."""
    environments, entries = document.get("environments", {}), document.get("entries", [])
    problems = problems_of(environments, dict[str, RunEnvironment], "environments")
    if problems or not isinstance(entries, list):
        return document, problems
    expanded = []
    for at, entry in enumerate(entries):
        fields = dict(entry) if isinstance(entry, dict) else {}
        named = {key: fields.pop(key) for key in ("in", "trained_in") if key in fields}
        unknown = [key for key, name in named.items() if not isinstance(name, str) or name not in environments]
        problems += (f"entries[{at}].{key}: there is no environment {json.dumps(named[key])}" for key in unknown)
        if unknown or not isinstance(entry, dict):
            expanded.append(entry)
            continue
        common = environments[named["in"]] if "in" in named else {}
        trained = {"trained_with": environments[named["trained_in"]]["packages"]} if "trained_in" in named else {}
        expanded.append({**common, **trained, **fields})
    rest = {key: value for key, value in document.items() if key != "environments"}
    return {**rest, "entries": expanded}, problems


def encode_results(entries: Iterable[EvidenceRun]) -> bytes:
    """The file: sorted by id and one entry a line, so that a change reads well in a diff."""
    return encode_document(EvidenceFile(schema=SCHEMA, kind=KIND, entries=tuple(entries)))


def encode_document(document: EvidenceFile) -> bytes:
    """The file of a document; environments are written once and entries name them."""
    entries = [entry for _, entry in sorted({one.id: one for one in document.entries}.items())]
    environments: dict[str, RunEnvironment] = {}
    for entry in entries:
        environments.setdefault(_environment_id(entry), _environment(entry))
    by_packages = {json.dumps(one.packages, sort_keys=True): name for name, one in environments.items()}
    lines = [msgspec.json.encode(_short(entry, environments, by_packages)).decode() for entry in entries]
    held = ",\n".join(
        f"{json.dumps(name)}:{msgspec.json.encode(one).decode()}" for name, one in sorted(environments.items())
    )
    breaks = f',"breaks":{msgspec.json.encode(document.breaks).decode()}' if document.breaks else ""
    body = ",\n".join(lines)
    return (
        f'{{"schema":{SCHEMA},"kind":"{KIND}","environments":{{\n{held}\n}},"entries":[\n{body}\n]{breaks}}}\n'.encode()
    )


def _environment(entry: EvidenceRun) -> RunEnvironment:
    return RunEnvironment(
        packages=entry.packages, python=entry.python, platform=entry.platform, date=entry.date, tool=entry.tool,
        lock_digest=entry.lock_digest,
    )  # fmt: skip


def _short(
    entry: EvidenceRun, environments: Mapping[str, RunEnvironment], by_packages: Mapping[str, str]
) -> dict[str, object]:
    """The entry without what its environment, and that of its training, say."""
    name = _environment_id(entry)
    fields = msgspec.to_builtins(entry)
    for key in ("packages", "python", "platform", "lock_digest"):
        fields.pop(key, None)
    for key in ("date", "tool"):
        if fields[key] == getattr(environments[name], key):
            del fields[key]
    trained_in = by_packages.get(json.dumps(entry.trained_with, sort_keys=True))
    if trained_in is not None:
        del fields["trained_with"]
        return {"in": name, "trained_in": trained_in, **fields}
    return {"in": name, **fields}


def _environment_id(entry: EvidenceRun) -> str:
    what = json.dumps([entry.packages, entry.python, entry.platform, entry.lock_digest], sort_keys=True)
    return f"{entry.packages.get('transformers', '-')}-{digest(what)[:8]}"


def reached(entries: Iterable[EvidenceRun]) -> Grade | None:
    """The best grade that these runs of one environment prove. What comes after a failure proves nothing."""
    order = [*PROVES]
    runs = list(entries)
    failed = min((order.index(one.capability) for one in runs if one.outcome == "fail"), default=len(order))
    worked = [one.capability for one in runs if one.outcome == "ok" and order.index(one.capability) < failed]
    return max((PROVES[capability] for capability in worked), key=GRADES.index, default=None)
