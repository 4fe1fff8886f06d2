"""The types of `envpin-merge.json`, schema 1: what a merged model was made of, and what was proved about it."""

from __future__ import annotations

from typing import Any

import msgspec

from envpin.core.files import digest
from envpin.core.marks import MERGE_RECORD
from envpin.replay.verdict import Verdict  # noqa: TC001  # msgspec resolves the annotation at run time

SCHEMA = 1
FILE_NAME = MERGE_RECORD


class InputFolder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A folder that went into the merge. `files` maps file names to sha256, `found` says how it was found, `weight`
    is the factor on an adapter's change."""

    path: str
    files: dict[str, str]
    weight: float = 1.0
    manifest_sha256: str | None = None
    id: str | None = None
    commit: str | None = None
    found: str | None = None


class EnvironmentUsed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`lock_sha256` digests the lock's body without comments; `key` names the environment in the store."""

    key: str
    lock_sha256: str
    python: str
    packages: dict[str, str]
    basis: str
    reference: str | None = None


class MergeRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`inputs_digest` is the value of `envpin` in every shard's `__metadata__`. `further` adapters were merged after
    the first, in this order. `quantized_base` is the decision about a quantized base: the policy, the method, whether
    the files were quantized, and the quantization config in force."""

    schema: int
    envpin: str
    created: str
    inputs_digest: str
    verdict: Verdict
    adapter: InputFolder
    base: InputFolder
    environment: EnvironmentUsed
    engine: str
    embedding: dict[str, object]
    merge: dict[str, Any]
    verification: dict[str, Any]
    files: dict[str, str]
    further: tuple[InputFolder, ...] = ()
    manifest_sha256: str | None = None
    quantized_base: dict[str, object] | None = None
    notes: tuple[str, ...] = ()


def inputs_digest(
    *,
    adapter: dict[str, str],
    base: dict[str, str],
    lock: str,
    engine: str,
    embedding: dict[str, object],
    choices: dict[str, object],
) -> str:
    """The first 32 hex digits of the sha256 of everything that decides the merged bytes, in canonical JSON. `choices`
    are those that differ from the defaults (device, weights, further adapters)."""
    document = {"adapter": adapter, "base": base, "lock": lock, "engine": engine, "embedding": embedding, **choices}
    return digest(msgspec.json.encode(document, order="sorted"))[:32]


def encode(record: MergeRecord) -> bytes:
    """Indented JSON, ended by a newline."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def decode(data: bytes) -> MergeRecord:
    """
    Raises:
        msgspec.DecodeError: not JSON, or not of this shape.
    """
    return msgspec.json.decode(data, type=MergeRecord)
