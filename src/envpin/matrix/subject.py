"""What `resolve` is asked about: a folder, a config.json, an adapter, a manifest, or only a name."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from envpin.core.errors import InputError

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_LIMIT = 16 * 1024 * 1024  # bytes; the largest config.json in the wild is under 1 MB


class ModelSubject(NamedTuple):
    """`config` is None where there is none to read; `origin` says where what was read came from."""

    config: dict[str, Any] | None
    name: str | None
    origin: tuple[str, ...] = ()


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
    if not _exists(path):
        if text.endswith((".json", "/")) or text.startswith((".", "/", "~")):
            raise InputError(f"`{text}` does not exist", path=text)
        for place in _cached(text):
            if (place / "config.json").is_file():
                found = _of_file(place / "config.json", base)
                return ModelSubject(
                    config=found.config, name=text, origin=("a model of the Hub's cache here", *found.origin)
                )
        return ModelSubject(config=None, name=text, origin=("no such folder here, so it is a name",))
    if path.is_dir():
        for name in ("config.json", "adapter_config.json", "envpin.json"):
            if (path / name).is_file():
                return _of_file(path / name, base)
        raise InputError(
            f"`{path}` holds no config.json, adapter_config.json or envpin.json", path=path,
            hint="give the folder of a model or of an adapter",
        )  # fmt: skip
    return _of_file(path, base)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        InputError: it cannot be read, is not JSON, is no object, or is far too large.
    """
    try:
        if not path.is_file():
            raise InputError(f"`{path}` is not a file", path=path)
        if path.stat().st_size > _LIMIT:
            raise InputError(f"`{path}` is larger than 16 MB, which no config is", path=path)
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"`{path}` is not JSON: {error}", path=path) from error
    if not isinstance(document, dict):
        raise InputError(f"`{path}` holds no JSON object", path=path)
    return document


def _of_file(path: Path, base: Path | None) -> ModelSubject:
    document = read_object(path)
    if "peft_type" in document or path.name == "adapter_config.json":
        return _of_adapter(document, path.parent, base)
    if isinstance(document.get("schema"), int) and path.name == "envpin.json":
        return _of_manifest(document, path)
    name = document.get("_name_or_path")
    own = name if isinstance(name, str) and name.strip() and not name.startswith((".", "/")) else None
    return ModelSubject(config=document, name=own or _folder_name(path), origin=(f"read from {path}",))


def _of_adapter(document: dict[str, Any], folder: Path, base: Path | None) -> ModelSubject:
    name = document.get("base_model_name_or_path")
    name = name if isinstance(name, str) and name.strip() else None
    origin = [f"an adapter; its base is `{name}`" if name else "an adapter that does not name its base"]
    for place in [base] if base else _places(name, folder):
        if _exists(place / "config.json"):
            config = read_object(place / "config.json")
            return ModelSubject(
                config=config, name=name or place.name, origin=(*origin, f"read from {place / 'config.json'}")
            )
    if base is not None:
        raise InputError(f"`{base}` holds no config.json", path=base)
    if _exists(folder / "envpin.json"):
        found = _of_manifest(read_object(folder / "envpin.json"), folder / "envpin.json")
        return ModelSubject(config=found.config, name=name or found.name, origin=(*origin, *found.origin))
    return ModelSubject(config=None, name=name, origin=(*origin, "its config is not here"))


def _places(name: str | None, folder: Path) -> list[Path]:
    """Where an adapter's base may be: as written; beside the adapter, if it moved here; in the Hub's cache."""
    if name is None:
        return []
    # A name from Windows has backslashes, also here.
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    beside = [folder / last, folder.resolve().parent / last] if last not in {"", ".", ".."} else []
    return [Path(name), folder / name, *beside, *_cached(name)]


def _cached(name: str) -> list[Path]:
    """The snapshots of a Hub model that the user's cache holds, the one that `main` points to first."""
    if not _HUB_NAME.fullmatch(name):
        return []
    hub = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or "~/.cache/huggingface", "hub")
    model = Path(hub).expanduser() / f"models--{name.replace('/', '--')}"
    try:
        snapshots = sorted((model / "snapshots").iterdir())
    except OSError:
        return []
    try:
        main = (model / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        main = ""
    return sorted(snapshots, key=lambda one: one.name != main)


def _folder_name(path: Path) -> str | None:
    """What a folder says about the model's name; a snapshot of the Hub's cache has it two levels up."""
    folder = path.resolve().parent
    cached = folder.parent.parent.name
    if folder.parent.name == "snapshots" and cached.startswith("models--"):
        return cached.removeprefix("models--").replace("--", "/")
    return folder.name or None


def _of_manifest(document: dict[str, Any], path: Path) -> ModelSubject:
    recorded = document.get("base")
    facts = recorded if isinstance(recorded, dict) else {}
    kind, architecture, name = (facts.get(key) for key in ("model_type", "architecture", "id"))
    config: dict[str, Any] = {}
    if isinstance(kind, str):
        config["model_type"] = kind
    if isinstance(architecture, str):
        config["architectures"] = [architecture]
    shown = name if isinstance(name, str) and name.strip() else None
    return ModelSubject(config=config or None, name=shown, origin=(f"the base that {path.name} recorded",))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False
