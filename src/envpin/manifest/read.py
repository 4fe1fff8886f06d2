"""Read an `envpin.json`. A manifest is untrusted input: it came with an adapter, from anywhere.

Every fault is reported at once, each with its path inside the document.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from envpin.core.errors import InputError
from envpin.core.files import read_bounded
from envpin.core.json_input import BadJsonError, parse
from envpin.core.sizes import counted
from envpin.manifest.types import SCHEMA, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME = "envpin.json"
# Many times what a manifest with every tensor of a large model takes; a stranger's may be anything.
SIZE_LIMIT = 64 * 1024 * 1024
# Far deeper than our own fields, which leaves room for configs that are kept whole.
DEPTH_LIMIT = 40
# Problems of one file that are shown; a file with more is broken as a whole.
_PROBLEM_LIMIT = 50
# The largest environments have some thousand; what compares them with a lock is not linear in this.
_MOST_DISTRIBUTIONS = 20_000
_LONGEST_VERSION = 200  # characters; Python converts no number of more than 4,300 digits
_NAME = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$")
_VERSION = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.+!_-]*$")
_DIGEST = re.compile(r"^[0-9a-f]{64}$")
HINT = "copy it again from where the adapter came from; or move it away, and the environment is inferred"
_PLAIN = {
    inspect.StrType: (str, "a text"),
    inspect.IntType: (int, "an integer"),
    inspect.BoolType: (bool, "true or false"),
    inspect.FloatType: (float, "a number"),
}


def manifest_path(path: Path) -> Path:
    """The manifest that `path` means: itself, or the one inside the folder."""
    return path / FILE_NAME if path.is_dir() else path


def read_manifest(path: Path) -> Manifest:
    """Read the manifest at `path`, a file or a folder that holds one.

    Raises:
        InputError: there is none, it is too large, no JSON, of a later schema, or holds wrong values.
    """
    file = manifest_path(path)
    try:
        data = read_bounded(file, SIZE_LIMIT)
    except FileNotFoundError as failed:
        hint = "record the run with `envpin record -- CMD…`"
        raise InputError(f"`{file}` does not exist", path=file, hint=hint) from failed
    except OSError as failed:
        raise InputError(f"`{file}` cannot be read: {failed.strerror}", path=file) from failed
    return parse_manifest(data, path=file)


def parse_manifest(data: bytes, *, path: Path | str = FILE_NAME) -> Manifest:
    """The manifest that `data` holds; `path` is for messages.

    Raises:
        InputError: as `read_manifest`.
    """
    document = _load(data, path)
    if not isinstance(document, dict):
        raise InputError(f"`{path}` is not a manifest: it holds no JSON object", path=path, hint=HINT)
    schema = document.get("schema")
    if isinstance(schema, int) and not isinstance(schema, bool) and schema > SCHEMA:
        raise InputError(
            f"`{path}` has schema {schema}; this envpin reads up to {SCHEMA}",
            path=path,
            hint="upgrade envpin",
        )
    listed = document.get("distributions")
    if isinstance(listed, list) and len(listed) > _MOST_DISTRIBUTIONS:
        text = f"`{path}` lists {counted(len(listed), 'package')}, more than an environment has"
        raise InputError(text, path=path, hint=HINT)
    problems: list[str] = []
    for problem in _problems(document):
        problems.append(problem)
        if len(problems) == _PROBLEM_LIMIT:
            problems.append("… and more")
            break
    if problems:
        raise InputError(f"`{path}` is not a valid manifest", path=path, problems=problems, hint=HINT)
    return msgspec.convert(document, Manifest)


def _load(data: bytes, path: Path | str) -> object:
    if not data.strip():
        raise InputError(f"`{path}` is empty", path=path, hint=HINT)
    try:
        return parse(data, max_bytes=SIZE_LIMIT, max_depth=DEPTH_LIMIT)
    except BadJsonError as wrong:
        raise InputError(f"`{path}` is not valid JSON, or cut off: {wrong}", path=path, hint=HINT) from wrong


def _problems(document: dict[str, Any]) -> Iterator[str]:
    faults = list(_faults(document, inspect.type_info(Manifest), ""))
    yield from faults
    if not faults:  # the rest may trust the types
        if document["schema"] < 1:
            yield "schema: must be at least 1"
        yield from _meaning(document)


def _faults(value: object, expected: inspect.Type, path: str) -> Iterator[str]:
    """One line for each place where `value` is not what the types of the manifest say."""
    match expected:
        case inspect.AnyType():
            pass
        case inspect.UnionType():  # of the manifest's types, always `X | None`
            if value is not None:
                yield from _faults(value, _present(expected), path)
        case inspect.StructType() | inspect.DictType():
            if not isinstance(value, dict):
                yield f"{path}: must be an object, is {_kind(value)}"
            elif isinstance(expected, inspect.StructType):
                yield from _struct_faults(value, expected, path)
            else:
                for key, one in value.items():
                    yield from _faults(one, expected.value_type, f"{path}.{key[:80]}")
        case inspect.VarTupleType() if isinstance(value, list):
            for index, one in enumerate(value):
                yield from _faults(one, expected.item_type, f"{path}[{index}]")
        case inspect.VarTupleType():
            yield f"{path}: must be a list, is {_kind(value)}"
        case _:
            yield from _plain_faults(value, expected, path)


def _plain_faults(value: object, expected: inspect.Type, path: str) -> Iterator[str]:
    kind, words = _PLAIN[type(expected)]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        yield f"{path}: must be {words}, is {_kind(value)}"
    elif isinstance(value, int) and abs(value) >= 2**64:
        yield f"{path}: does not fit 64 bits"


def _present(union: inspect.UnionType) -> inspect.Type:
    return next(one for one in union.types if not isinstance(one, inspect.NoneType))


def _struct_faults(value: dict[str, object], expected: inspect.StructType, path: str) -> Iterator[str]:
    if any(not _is_text(key) for key in value):
        yield f"{path or 'the object'}: has a key that is no text"
    for field in expected.fields:
        inner = f"{path}.{field.encode_name}" if path else field.encode_name
        if field.encode_name in value:
            yield from _faults(value[field.encode_name], field.type, inner)
        elif field.required:
            yield f"{inner}: is missing"


def _is_text(key: str) -> bool:
    """JSON can escape half of a letter, which nothing can encode."""
    return not any("\ud800" <= letter <= "\udfff" for letter in key)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", int: "an integer"}
    return names.get(type(value), "a number")


def _meaning(document: dict[str, Any]) -> Iterator[str]:
    """What types cannot say: names and versions that reach an installer, file names that reach a path."""
    for index, one in enumerate(document.get("distributions", [])):
        if not _NAME.match(one["name"]):
            yield f"distributions[{index}].name: {one['name'][:80]!r} is not a distribution name"
        if not _VERSION.match(one["version"]) or len(one["version"]) > _LONGEST_VERSION:
            yield f"distributions[{index}].version: {one['version'][:80]!r} is not a version"
    yield from _files(document)
    for index, one in enumerate((document.get("saved") or {}).get("tensors") or []):
        if any(length < 0 for length in one["shape"]):
            yield f"saved.tensors[{index}].shape: {one['shape']} is not a shape"


def _files(document: dict[str, Any]) -> Iterator[str]:
    for part in ("base", "tokenizer", "saved"):
        for name, digest in ((document.get(part) or {}).get("files") or {}).items():
            if not _is_plain(name):
                yield f"{part}.files: {name[:80]!r} is not a plain file name"
            if not _DIGEST.match(digest):
                yield f"{part}.files.{name[:80]}: is not a sha256"
    for name, sample in ((document.get("base") or {}).get("weights") or {}).items():
        if not _is_plain(name):
            yield f"base.weights: {name[:80]!r} is not a plain file name"
        if not all(_DIGEST.match(sample[key]) for key in ("header_sha256", "blocks_sha256")):
            yield f"base.weights.{name[:80]}: holds what is not a sha256"
    patch = ((document.get("run") or {}).get("git") or {}).get("patch") or {}
    for where, name in (
        ("run.git.patch.file", patch.get("file")),
        ("training.trace", (document.get("training") or {}).get("trace")),
    ):
        if name is not None and not _is_plain(name):
            yield f"{where}: {name[:80]!r} is not a plain file name"


def _is_plain(name: str) -> bool:
    return bool(name) and name not in {".", ".."} and not set(name) & set("/\\:\0")
