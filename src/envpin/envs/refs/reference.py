"""What a user writes for an environment (REF), told apart by its form. See docs/reference/environments.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from envpin.core.errors import InputError
from envpin.core.torch_builds import backend_of
from envpin.core.versions import label_of

_FAMILY = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")
_OPERATOR = re.compile(r"(===|==|~=|!=|<=|>=|<|>)")
_MANIFEST = "envpin.json"
_FORMS = "a family (`llama3.1`), a `pylock*.toml`, an adapter folder, an `envpin.json`, or pins (`peft==0.12.0,…`)"


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilyReference:
    """A family id of the compatibility matrix; `torch` is the build that `llama3.1+cpu` asks for."""

    id: str
    torch: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LockReference:
    """A lock file."""

    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterReference:
    """A folder that holds an adapter, or its manifest itself."""

    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class PinsReference:
    """Literal requirements, in the order they were written."""

    requirements: tuple[str, ...]


Reference: TypeAlias = FamilyReference | LockReference | AdapterReference | PinsReference


def parse_reference(text: str) -> Reference:
    """Tell which form `text` has. Only paths are looked at, and only whether they are folders.

    Raises:
        InputError: it has none of the forms, or names a file that does not exist.
    """
    text = text.strip()
    if not text:
        raise InputError("the environment reference is empty", hint=f"give {_FORMS}")
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # `~nobody`
        path = Path(text)
    if path.name == _MANIFEST or _is_adapter(path):
        return AdapterReference(path=_existing(path))
    if path.suffix == ".toml":
        return LockReference(path=_existing(path))
    if _OPERATOR.search(text) or " @ " in text:
        return PinsReference(requirements=split_pins(text))
    if ("/" in text or "\\" in text) and _is_folder(path):
        return AdapterReference(path=path)
    if _FAMILY.match(text):
        label = label_of(text)
        if backend_of(label) == label and label is not None:
            return FamilyReference(id=text[: -len(label) - 1], torch=label)
        return FamilyReference(id=text)
    if "/" in text or "\\" in text:
        _existing(path)
    raise InputError(f"`{text[:200]}` is not an environment reference", hint=f"give {_FORMS}")


def split_pins(text: str) -> tuple[str, ...]:
    """`a>=1,<2,b==3` gives `a>=1,<2` and `b==3`: a piece that starts with an operator continues the one before it.

    The pieces are checked where they are resolved (`check_requirements`).
    """
    pieces: list[str] = []
    for piece in (raw.strip() for raw in text.split(",")):
        if pieces and (_OPERATOR.match(piece) or pieces[-1].count("[") > pieces[-1].count("]")):
            pieces[-1] += f",{piece}"
        elif piece:
            pieces.append(piece)
    return tuple(pieces)


def _is_adapter(path: Path) -> bool:
    try:
        return (path / _MANIFEST).is_file() or (path / "adapter_config.json").is_file()
    except OSError:
        return False  # a text far too long for a path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _existing(path: Path) -> Path:
    try:
        found = path.exists()
    except OSError:
        found = False
    if not found:
        raise InputError(f"`{str(path)[:200]}` does not exist", path=path)
    return path
