"""Wrap modules right after they are imported, without importing anything: a finder in front of the others."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Dict, Optional, Sequence, cast

from _envpin_hook import append, guarded

if TYPE_CHECKING:
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

# module -> the function of `wrapping` that wraps what it holds
TARGETS: Dict[str, str] = {
    "transformers.utils.hub": "wrap_hub",
    "transformers.modeling_utils": "wrap_models",
    "transformers.tokenization_utils_base": "wrap_tokenizers",
    "transformers.tokenization_utils_tokenizers": "wrap_tokenizers",
    "transformers.tokenization_mistral_common": "wrap_tokenizers",
    "transformers.trainer": "wrap_trainer",
    "peft.peft_model": "wrap_peft",
    "accelerate.accelerator": "wrap_accelerator",
    "datasets.builder": "wrap_datasets",
    "transformers.training_args": "wrap_training_args",
}


def watch() -> None:
    for name in TARGETS:
        loaded = sys.modules.get(name)
        if loaded is not None:
            guarded("wrapping " + name, _wrap, name, loaded)
    if not any(type(finder).__name__ == "_EnvpinFinder" for finder in sys.meta_path):
        sys.meta_path.insert(0, _EnvpinFinder())


def _wrap(name: str, loaded: ModuleType) -> None:
    from _envpin_hook import source, wrapping

    append("wrapped", name)
    guarded("noting the script", source.note_beginning)
    getattr(wrapping, TARGETS[name])(loaded)


class _EnvpinFinder:
    """Finds nothing itself: asks the others, and puts `_Loader` around what they find for a target.

    It stays: a script may take a library out of `sys.modules` and import it once more, or reload it.
    """

    def find_spec(
        self, name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        if name not in TARGETS:
            return None
        return guarded("finding " + name, self._find, name, path, target)

    def _find(self, name: str, path: Optional[Sequence[str]], target: Optional[ModuleType]) -> Optional[ModuleSpec]:
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: Optional[ModuleSpec] = find(name, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = cast("Loader", _Loader(spec.loader))
                return spec
        return None


class _Loader:
    """The real loader, and our wrapping after it. The module keeps the real one: nothing sees this class."""

    def __init__(self, real: Loader) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        create = getattr(self._real, "create_module", None)
        return create(spec) if create is not None else None

    def exec_module(self, loaded: ModuleType) -> None:
        spec = getattr(loaded, "__spec__", None)
        if spec is not None:
            spec.loader = self._real
        loaded.__loader__ = self._real
        self._real.exec_module(loaded)  # what this raises is the module's own failure, and passes
        name = loaded.__name__
        guarded("wrapping " + name, _wrap, name, sys.modules.get(name, loaded))
