"""What differs between two adapters, models, manifests or locks, section by section."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.core.errors import InputError
from envpin.core.files import exists, is_folder
from envpin.diagnose.axes import shape_text
from envpin.diagnose.contents import compare_contents
from envpin.diagnose.target import versions_of
from envpin.manifest.read import FILE_NAME, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.manifest.types import Manifest
    from envpin.matrix.types import Matrix

SECTIONS = ("files", "run", "environment", "config", "tokenizer", "tensors", "contents", "quantization")
# Parameters that decide whether weights fit or what they compute come first; these only describe.
_FIRST = (
    "model_type", "architectures", "base_model_name_or_path", "peft_type", "r", "lora_alpha", "target_modules",
    "modules_to_save", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "vocab_size", "hidden_size",
    "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size", "rope_theta",
    "rope_scaling", "rope_parameters", "tie_word_embeddings", "torch_dtype", "dtype",
)  # fmt: skip
_DESCRIBES = frozenset({"_name_or_path", "transformers_version", "peft_version", "use_cache", "inference_mode"})


class Change(NamedTuple):
    """One difference. None stands for what one side does not have."""

    section: str
    what: str
    before: str | None
    after: str | None
    note: str = ""


@dataclass
class Side:
    """What one argument says; None where it says nothing of that kind."""

    versions: dict[str, str] | None = None
    run: dict[str, str] | None = None
    config: dict[str, object] = field(default_factory=dict)
    tokens: dict[str, int] | None = None
    length: int | None = None
    tensors: dict[str, str] | None = None
    quantization: dict[str, object] | None = None
    faults: dict[str, str] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None


class Diff(NamedTuple):
    """`changes` in the order of `SECTIONS`. `not_compared` says what of the weights was not held against each other."""

    changes: tuple[Change, ...]
    not_compared: str | None = None


def diff(before: Path, after: Path, *, whole: bool = False) -> Diff:
    """Every difference. What only one side tells is left out of its section. `whole` reads weights of any size.

    Raises:
        InputError: an argument is no folder, manifest or lock, or cannot be read.
    """
    old, new = read_side(before), read_side(after)
    contents, not_compared = _contents(old, new, whole=whole)
    changes = (
        *_faults(old, new),
        *_run(old, new),
        *_environment(old, new),
        *_config(old, new),
        *_tokenizer(old, new),
        *_tensors(old, new),
        *contents,
        *_quantization(old, new),
    )
    return Diff(changes, not_compared)


def read_side(path: Path) -> Side:
    """What one argument says.

    Raises:
        InputError: it cannot be read, or is none of the kinds.
    """
    if is_folder(path):
        return _folder_side(path)
    if path.suffix == ".toml":
        return Side(versions=versions_of(str(path)))
    if path.suffix == ".json" or path.name == FILE_NAME:
        return _manifest_side(read_manifest(path))
    if not exists(path):
        raise InputError(f"`{path}` does not exist", path=path)
    raise InputError(f"`{path}` is no folder, manifest or lock", path=path, hint="envpin diff ADAPTER ADAPTER")


def _folder_side(path: Path) -> Side:
    side = _manifest_side(read_manifest(path)) if (path / FILE_NAME).is_file() else Side()
    folder = side.checkpoint = open_checkpoint(path)
    prefix = {f"adapter_config.{key}": value for key, value in (folder.adapter_config or {}).items()}
    side.config = {f"config.{key}": value for key, value in (folder.config or {}).items()} | prefix
    side.tensors = {one.name: f"{shape_text(one.shape)} {one.dtype}" for one in folder.tensors.values()}
    side.quantization = folder.quantization or side.quantization
    side.faults = {one.file: one.message for one in folder.faults}
    if folder.tokenizer is not None:
        side.tokens, side.length = folder.tokenizer.added, folder.tokenizer.length
    return side


def _faults(old: Side, new: Side) -> Iterator[Change]:
    """Files that are broken on one side: what they hold could not be compared, or only in part."""
    for file in sorted(old.faults.keys() | new.faults.keys()):
        before, after = old.faults.get(file), new.faults.get(file)
        if before != after:
            yield Change("files", file, before, after)


def _manifest_side(manifest: Manifest) -> Side:
    base, saved, tokenizer = manifest.base, manifest.saved, manifest.tokenizer
    config = {f"adapter_config.{key}": value for key, value in ((saved.config if saved else None) or {}).items()}
    if base is not None:
        names = ("id", "commit", "model_type", "architecture", "embedding_rows", "tie_word_embeddings", "dtype")
        config |= {f"base.{name}": getattr(base, name) for name in names if getattr(base, name) is not None}
    return Side(
        versions={one.name: one.version for one in manifest.distributions},
        run=_run_side(manifest),
        config=config,
        tokens=dict(tokenizer.added) if tokenizer is not None else None,
        length=tokenizer.length if tokenizer is not None else None,
        tensors={one.name: f"{shape_text(one.shape)} {one.dtype}" for one in saved.tensors} if saved else None,
        quantization=base.quantization if base is not None else None,
    )


def _run_side(manifest: Manifest) -> dict[str, str]:
    """What was run: command, trainer, steps, seeds, source. Times and ids, which no two runs share, are left out."""
    run, trainer, python = manifest.run, manifest.trainer, manifest.python
    found: dict[str, object] = {"python": python.version if python is not None else None}
    if run is not None:
        found |= {"argv": shlex.join(run.argv) or None, "world_size": run.world_size}
        found["git.commit"] = run.git.commit if run.git is not None else None
        found |= {f"environment.{name}": value for name, value in run.environment.items()}
        found |= {f"seeds.{name}": value for name, value in run.seeds.items()}
    if trainer is not None:
        names = ("class_name", "package", "package_version", "global_step", "seed", "data_seed")
        found |= {f"trainer.{name}": getattr(trainer, name) for name in names}
    return {name: str(value) for name, value in found.items() if value is not None}


def _run(old: Side, new: Side) -> Iterator[Change]:
    if old.run is None or new.run is None:
        return
    for name in dict.fromkeys([*old.run, *new.run]):
        before, after = old.run.get(name), new.run.get(name)
        if before != after:
            yield Change("run", name, before, after, "" if before and after else "not recorded on one side")


def _environment(old: Side, new: Side) -> Iterator[Change]:
    if old.versions is None or new.versions is None:
        return
    from envpin.matrix.load import load_matrix

    matrix = load_matrix()
    for name in sorted(old.versions.keys() | new.versions.keys()):
        before, after = old.versions.get(name), new.versions.get(name)
        if before != after:
            yield Change("environment", name, before, after, "; ".join(crossed(matrix, name, before, after)))


def crossed(matrix: Matrix, package: str, before: str | None, after: str | None) -> Iterator[str]:
    """The known breaks that lie between two versions of a package: one version has the fault, the other has not."""
    if before is None or after is None:
        return
    for one in matrix.breaks.values():
        if canonicalize_name(one.package) != canonicalize_name(package):
            continue
        try:
            span = SpecifierSet(one.versions)
            inside = [span.contains(Version(version), prereleases=True) for version in (before, after)]
        except (InvalidSpecifier, InvalidVersion):
            continue
        if inside[0] != inside[1]:
            yield f"crosses {one.id}: {one.title}"


def _config(old: Side, new: Side) -> Iterator[Change]:
    names = old.config.keys() | new.config.keys()
    for name in sorted(names, key=_importance):
        before, after = old.config.get(name), new.config.get(name)
        if _comparable(before) != _comparable(after):
            note = "describes only" if name.partition(".")[2] in _DESCRIBES else ""
            yield Change("config", name, _text(before), _text(after), note)


def _importance(name: str) -> tuple[int, str]:
    key = name.partition(".")[2]
    if key in _FIRST:
        return (_FIRST.index(key), name)
    return (len(_FIRST) + (key in _DESCRIBES), name)


def _comparable(value: object) -> object:
    """peft writes sets as lists, in any order."""
    return sorted(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value


def _tokenizer(old: Side, new: Side) -> Iterator[Change]:
    if old.length is not None and new.length is not None and old.length != new.length:
        yield Change("tokenizer", "length", str(old.length), str(new.length))
    if old.tokens is None or new.tokens is None:
        return
    for token in sorted(old.tokens.keys() | new.tokens.keys()):
        before, after = old.tokens.get(token), new.tokens.get(token)
        if before != after:
            note = "added" if before is None else "removed" if after is None else "moved to another id"
            yield Change("tokenizer", token, _text(before), _text(after), note)


def _tensors(old: Side, new: Side) -> Iterator[Change]:
    if old.tensors is None or new.tensors is None:
        return
    names: Mapping[str, None] = dict.fromkeys([*old.tensors, *new.tensors])
    for name in names:
        before, after = old.tensors.get(name), new.tensors.get(name)
        if before != after:
            yield Change("tensors", name, before, after)


def _contents(old: Side, new: Side, *, whole: bool) -> tuple[list[Change], str | None]:
    if not old.tensors or not new.tensors:
        return [], None
    if old.checkpoint is None or new.checkpoint is None:
        return [], "the values of the tensors: a manifest does not hold them"
    found = compare_contents(old.checkpoint, new.checkpoint, whole=whole)
    changes = [Change("contents", name, *blocks, "other values") for name, blocks in found.different.items()]
    return changes, found.not_compared


def _quantization(old: Side, new: Side) -> Iterator[Change]:
    first, second = old.quantization or {}, new.quantization or {}
    for key in sorted(first.keys() | second.keys()):
        if first.get(key) != second.get(key):
            yield Change("quantization", key, _text(first.get(key)), _text(second.get(key)))


def _text(value: object) -> str | None:
    return None if value is None else str(value)[:200]
