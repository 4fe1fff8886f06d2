"""Whose classes load a model with an `auto_map`: its own code's, or those that transformers has for its type.

`AutoConfig` and `AutoModel…` of transformers 4.57.6 and 5.24.0 take their own class where they know the `model_type`,
unless `trust_remote_code=True` is passed, which then asks for the files that `auto_map` names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from packaging.version import Version

from envpin.matrix.support import load_support

if TYPE_CHECKING:
    from envpin.checkpoint.checkpoint import Checkpoint

_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Classes that load any tokenizer.json.
_GENERIC = frozenset({"PreTrainedTokenizerFast", "TokenizersBackend"})


class NamedCode(NamedTuple):
    """The files that an `auto_map` names: those of this folder, those that are not in it; and whether some classes are
    in another repository."""

    held: tuple[str, ...]
    absent: tuple[str, ...]
    elsewhere: bool


def named_code(folder: Checkpoint) -> NamedCode:
    wanted: set[str] = set()
    elsewhere = False
    for value in (folder.auto_map or {}).values():
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str):
                elsewhere |= "--" in name  # `org/repository--module.Class`: the code stays in that repository
                module = name.split("--")[-1].partition(".")[0]
                if "--" not in name and _MODULE.fullmatch(module):
                    wanted.add(f"{module}.py")
    held = {name for name in wanted if (folder.inside / name).is_file()}
    return NamedCode(tuple(sorted(held)), tuple(sorted(wanted - held)), elsewhere)


def native_classes(folder: Checkpoint, release: Version | None = None) -> str | None:
    """In words the classes that transformers has itself for what the `auto_map` is of: in that release, or in any where
    it is not known. None where it has none."""
    config = folder.config or {}
    if not config.get("auto_map"):
        name = (folder.tokenizer.config or {}).get("tokenizer_class") if folder.tokenizer is not None else None
        return f"`{name}`" if name in _GENERIC else None
    kind = config.get("model_type")
    window = load_support().window(kind) if isinstance(kind, str) else None
    if window is None:
        return None
    first, last = window
    if release is not None and (release < Version(first) or (last is not None and release > Version(last))):
        return None
    return f"classes of `{kind}`"


def runs_own_code(model: Checkpoint) -> bool:
    """Whether the model's classes may be its own code's: not where that code is not there and transformers knows the
    type."""
    if not model.auto_map:
        return False
    return not (named_code(model).absent and native_classes(model))
