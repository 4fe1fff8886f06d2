"""`bundle.json`, and the files that go into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.bundle.archive import FIRST, BundleMember
from envpin.core.errors import InputError
from envpin.core.typed_json import NOT_OF_ITS_SHAPE
from envpin.replay import publish, refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.pylock import PackageWheel

    from envpin.envs.locks.lock import Lock

SCHEMA = 1
DESCRIPTION = "bundle.json"
LOCK = "pylock.toml"
_SCRIPTS = Path(__file__).with_name("scripts")
_WORKERS = Path(__file__).resolve().parents[1] / "workers"
# What loading, merging and publishing read of a model's folder, besides its weights.
_SMALL = ("config.json", "generation_config.json", *publish.TOKENIZER_FILES, *publish.PROCESSOR_FILES)
_OF_ADAPTER = ("adapter_config.json", "envpin.json", "README.md", *_SMALL)


class BundledMerge(msgspec.Struct, frozen=True, kw_only=True):
    """What the workers are asked, but for the folders; `base` and `adapter` map names to sha256."""

    request: dict[str, object]
    answers: dict[str, object]
    base: dict[str, str]
    adapter: dict[str, str]
    base_id: str | None = None


class BundleDescription(msgspec.Struct, frozen=True, kw_only=True):
    """`bundle.json`. `wheels` are in the order of the lock; `companions` and `gates` are what `replay` goes by."""

    schema: int
    envpin: str
    name: str
    platform: str
    python: str
    lock_sha256: str
    with_base: bool
    with_python: bool
    companions: dict[str, tuple[str, ...]]
    gates: dict[str, float]
    merge: BundledMerge | None
    wheels: tuple[str, ...]


def describe_rules() -> tuple[dict[str, tuple[str, ...]], dict[str, float]]:
    """Which files go beside a merged model, and the figures of the gate, for a script that has no envpin."""
    companions = {
        "tokenizer": tuple(publish.TOKENIZER_FILES),
        "tokenizer_core": tuple(sorted(publish.TOKENIZER_CORE)),
        "processor": tuple(publish.PROCESSOR_FILES),
    }
    return companions, refusals.gate_figures()


def encode(description: BundleDescription) -> bytes:
    return msgspec.json.format(msgspec.json.encode(description), indent=2) + b"\n"


def decode(data: bytes) -> BundleDescription:
    """
    Raises:
        InputError: it is none, or one of a newer envpin.
    """
    try:
        found = msgspec.json.decode(data, type=BundleDescription)
    except NOT_OF_ITS_SHAPE as fault:
        raise InputError(f"`{DESCRIPTION}` of this bundle cannot be read: {fault}", hint="upgrade envpin") from fault
    if found.schema != SCHEMA:
        raise InputError(f"this bundle has schema {found.schema}; this envpin knows {SCHEMA}", hint="upgrade envpin")
    return found


def scripts() -> Iterator[BundleMember]:
    """What restores and merges without envpin: the scripts and the workers."""
    yield BundleMember(name=FIRST, source=_SCRIPTS / FIRST, executable=True)
    for name in ("install.py", "merge.py"):
        yield BundleMember(name=f"restore/{name}", source=_SCRIPTS / name)
    for path in sorted(_WORKERS.rglob("*")):
        if path.is_file() and path.suffix in {".py", ".json", ".md"} and "__pycache__" not in path.parts:
            yield BundleMember(name=f"worker/{path.relative_to(_WORKERS).as_posix()}", source=path)


def wheels(found: Iterable[tuple[PackageWheel, Path]]) -> Iterator[BundleMember]:
    for wheel, path in found:
        yield BundleMember(name=f"wheels/{wheel.filename}", source=path)


def lock_member(lock: Lock) -> BundleMember:
    return BundleMember(name=LOCK, content=lock.text.encode("utf-8"))


def adapter_files(folder: Path, weights: Iterable[str]) -> Iterator[BundleMember]:
    """The adapter's weights, configuration, record and tokenizer; nothing else of its folder."""
    yield from _files(folder, "adapter", (*_OF_ADAPTER, *weights))


def base_files(folder: Path, weights: Iterable[str]) -> Iterator[BundleMember]:
    """The base's weights, their index, configuration and tokenizer."""
    yield from _files(folder, "base", (*_SMALL, "model.safetensors.index.json", *weights))


def _files(folder: Path, below: str, names: Iterable[str]) -> Iterator[BundleMember]:
    for name in sorted(set(names)):
        path = folder / name
        if path.is_file():
            publish.refuse_escape(path, folder)
            yield BundleMember(name=f"{below}/{name}", source=path)
