"""What `resolve` is asked about: a folder, a config.json, an adapter, a manifest, or only a name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from envpin.core.adapter_format import ForeignFormat, foreign_format, foreign_model
from envpin.core.base_places import base_places
from envpin.core.command_text import command_text
from envpin.core.errors import InputError
from envpin.core.files import exists, is_folder
from envpin.core.hub_cache import cached_identity, snapshots_of
from envpin.core.json_input import read_named_object

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIMIT = 16 * 1024 * 1024  # bytes; the largest config.json in the wild is under 1 MB


class ModelSubject(NamedTuple):
    """`config` is None where there is none to read; `origin` says where what was read came from. `adapter` is the
    folder of the adapter that was asked about, where it is one: its own files say more than its base. `foreign` is
    the format of an adapter that is not peft's."""

    config: dict[str, object] | None
    name: str | None
    origin: tuple[str, ...] = ()
    foreign: ForeignFormat | None = None
    adapter: Path | None = None


def find_subject(text: str, *, base: Path | None = None) -> ModelSubject:
    """The model that a path or a Hub name means. An adapter stands for its base; `base` says where that is.

    Raises:
        InputError: the path exists and holds nothing that describes a model, or it cannot be read.
    """
    if not text.strip():
        raise InputError("the model has no name", hint="give a folder, a config.json or a Hub name")
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # `~somebody` whom this machine does not know
        path = Path(text)
    if not exists(path):
        if text.endswith((".json", "/")) or text.startswith((".", "/", "~")):
            raise InputError(f"`{text}` does not exist", path=text)
        for place in snapshots_of(text):
            if (place / "config.json").is_file():
                found = _of_file(place / "config.json", base)
                return ModelSubject(
                    config=found.config, name=text, origin=("a model of the Hub's cache here", *found.origin)
                )
        return ModelSubject(config=None, name=text, origin=("no such folder here, so it is a name",))
    if is_folder(path):
        for name in ("config.json", "adapter_config.json", "envpin.json"):
            if (path / name).is_file():
                return _of_file(path / name, base)
        if (foreign := foreign_format(path)) is not None:
            return _of_foreign(foreign, path)
        raise InputError(
            f"`{path}` holds no config.json, adapter_config.json or envpin.json", path=path,
            hint="give the folder of a model or of an adapter",
        )  # fmt: skip
    return _of_file(path, base)


def _read(path: Path, origin: list[str]) -> dict[str, object]:
    """The JSON object in a file; what is odd about it goes to `origin`. Raises: InputError: there is none in it."""
    remarks: list[str] = []
    document = read_named_object(path, remarks=remarks, limit=_LIMIT)
    origin += [f"{path.name}: {text}" for text in remarks]
    return document


def _of_file(path: Path, base: Path | None) -> ModelSubject:
    origin = [f"read from {path}"]
    document = _read(path, origin)
    if path.name == "adapter_config.json" and (foreign := foreign_format(path.parent)) is not None:
        return _of_foreign(foreign, path.parent)
    if "peft_type" in document or path.name == "adapter_config.json":
        return _of_adapter(document, path.parent, base, origin[1:])._replace(adapter=path.parent)
    if isinstance(document.get("schema"), int) and path.name == "envpin.json":
        return _of_manifest(document, path, origin[1:])._replace(adapter=path.parent)
    if (other := foreign_model(document)) is not None:
        origin.append(f"it is {other.words}")
    name = document.get("_name_or_path")
    own = name if isinstance(name, str) and name.strip() and not name.startswith((".", "/")) else None
    return ModelSubject(config=document, name=own or _folder_name(path), origin=tuple(origin))


def _of_foreign(foreign: ForeignFormat, folder: Path) -> ModelSubject:
    """No pins of transformers and peft are for it, whatever its base is; that one can be asked about by its name."""
    own = (f"about its base: {command_text('envpin', 'matrix', 'resolve', foreign.base)}",) if foreign.base else ()
    origin = (foreign.words, f"what merges or converts it: {foreign.step(folder)}", *own)
    return ModelSubject(config=None, name=None, origin=origin, foreign=foreign)


def _of_adapter(document: dict[str, object], folder: Path, base: Path | None, remarks: Sequence[str]) -> ModelSubject:
    name = document.get("base_model_name_or_path")
    name = name if isinstance(name, str) and name.strip() else None
    origin = [f"an adapter; its base is `{name}`" if name else "an adapter that does not name its base", *remarks]
    for place in [base] if base else _places(document, name, folder):
        if exists(place / "config.json"):
            origin.append(f"read from {place / 'config.json'}")
            config = _read(place / "config.json", origin)
            return ModelSubject(config=config, name=name or place.name, origin=tuple(origin))
    if base is not None:
        raise InputError(
            f"`{base}` holds no config.json" if is_folder(base) else f"`{base}` is no folder here", path=base
        )
    if exists(folder / "envpin.json"):
        found = _of_manifest(_read(folder / "envpin.json", origin), folder / "envpin.json", ())
        return ModelSubject(config=found.config, name=name or found.name, origin=(*origin, *found.origin))
    return ModelSubject(config=None, name=name, origin=(*origin, "its config is not here"))


def _places(document: dict[str, object], name: str | None, folder: Path) -> list[Path]:
    """Where an adapter's base may be: as written, beside or above the adapter, in the Hub cache."""
    if name is None:
        return []
    revision = document.get("revision")
    cached = snapshots_of(name, revision if isinstance(revision, str) else None)
    return [*(place for place, _ in base_places(name, folder)), *cached]


def _folder_name(path: Path) -> str | None:
    """What a folder says about the model's name; a snapshot of the Hub's cache has it two levels up."""
    folder = Path(os.path.abspath(path)).parent  # noqa: PTH100  resolve() would turn a cache's links into blobs
    known = cached_identity(folder)
    return known[0] if known is not None else folder.name or None


def _of_manifest(document: dict[str, object], path: Path, remarks: Sequence[str]) -> ModelSubject:
    recorded = document.get("base")
    facts = recorded if isinstance(recorded, dict) else {}
    kind, architecture, name = (facts.get(key) for key in ("model_type", "architecture", "id"))
    config: dict[str, object] = {}
    if isinstance(kind, str):
        config["model_type"] = kind
    if isinstance(architecture, str):
        config["architectures"] = [architecture]
    shown = name if isinstance(name, str) and name.strip() else None
    return ModelSubject(config=config or None, name=shown, origin=(f"the base that {path.name} recorded", *remarks))
