"""Parameters that transformers 5 fuses from several stored tensors on loading (the experts of a mixture, stored one by
one). They are fused and taken apart again by transformers' own converters, so that the files keep their names.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Set, Tuple

from .io.files import StoredTensor, WeightFolder

if TYPE_CHECKING:
    import torch
    import transformers
    from transformers.core_model_loading import WeightConverter


class Fused:
    """One fused parameter: its state key, its sources in the order that the converter wants them, and the converter."""

    def __init__(self, key: str, converter: WeightConverter, model: transformers.PreTrainedModel) -> None:
        self.key = key
        self.sources: List[Tuple[str, StoredTensor]] = []
        self._converter = converter
        self._model = model

    def join(self, tensors: Dict[str, torch.Tensor]) -> torch.Tensor:
        """The parameter, from its sources by name."""
        converter = copy.deepcopy(self._converter)
        for pattern, source in self.sources:
            converter.add_tensor(self.key, source.name, pattern, tensors[source.name])
        made = converter.convert(self.key, model=self._model, config=self._model.config)
        if set(made) != {self.key}:
            raise ValueError("`%s` is not the only parameter made from its tensors" % self.key)
        value = made[self.key]
        return value[0] if isinstance(value, list) else value

    def split(self, parameter: torch.Tensor) -> Dict[str, torch.Tensor]:
        """The sources by name, from the parameter."""
        from transformers.core_model_loading import revert_weight_conversion

        found: Dict[str, torch.Tensor] = revert_weight_conversion(self._model, {self.key: parameter})
        return found

    def is_reversible(self, shape: Tuple[int, ...], empty: Callable[[StoredTensor], torch.Tensor]) -> bool:
        """Whether joining and splitting is a round trip, tried on tensors without data."""
        try:
            joined = self.join({source.name: empty(source) for _, source in self.sources})
            parts = self.split(joined)
        except Exception:  # a converter that needs real values, or one that another release shaped differently
            return False
        wanted = {source.name: source.shape for _, source in self.sources}
        return tuple(joined.shape) == shape and {name: tuple(part.shape) for name, part in parts.items()} == wanted


def new_names(
    model: transformers.PreTrainedModel, base: WeightFolder, wanted: Set[str]
) -> Optional[Tuple[Dict[str, StoredTensor], Dict[str, Fused]]]:
    """transformers 5: which stored tensor fills which parameter, and which parameters are fused; None before 5."""
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, dot_natural_key, rename_source_key
    except ImportError:
        return None
    transforms = get_model_conversion_mapping(model)
    converters = [one for one in transforms if isinstance(one, WeightConverter)]
    renamings = [one for one in transforms if not isinstance(one, WeightConverter)]
    by_pattern = {pattern: one for one in converters for pattern in one.source_patterns}
    # Any value but None says "there"; the function asks no more of it.
    there = dict.fromkeys(wanted, True)
    prefix = getattr(model, "base_model_prefix", "")
    names: Dict[str, StoredTensor] = {}
    fused: Dict[str, Fused] = {}
    for name in sorted(base.tensors, key=dot_natural_key):
        key, pattern = rename_source_key(name, renamings, converters, prefix, there)
        if key not in there and name in there:
            key, pattern = name, None
        if key not in there:
            continue
        if pattern is None:
            names.setdefault(key, base.tensors[name])
        else:
            fused.setdefault(key, Fused(key, by_pattern[pattern], model)).sources.append((pattern, base.tensors[name]))
    model._weight_conversions = [one for one in transforms if one.was_used()]  # noqa: SLF001 (what a save reverts)
    return names, fused
