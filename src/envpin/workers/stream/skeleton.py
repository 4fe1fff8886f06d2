"""The model of this environment without its weights, and the adapter put onto it by peft's own loader.

Nothing is read but headers. The base is built on the meta device from its config, and the adapters are put onto it
(adapters.py). Afterwards each parameter of the wrapped model is known to be one of three things: a base tensor,
an adapter tensor, or something that has no source.
So every rule of the pinned release (target patterns, ranks, scalings, renamed modules, dtypes) is applied by its own
code.
"""

from __future__ import annotations

import inspect
import os
import re
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Pattern, Sequence, Set, Tuple, Type

from ..protocol import KnownError
from ..requests import QuantizedBase, StreamMergeRequest
from ..runtime import answers, classes, loading, methods
from ..runtime.several import Source
from .adapters import TAG, apply_adapters
from .empty import empty_model
from .fused import Fused, new_names
from .io.files import FileHeader, StoredTensor, WeightFolder, refuse, torch_dtype
from .quantized import Decoded, settle

if TYPE_CHECKING:
    import transformers

    from ..runtime.methods import AdapterConfig

    ModelClass = Type[transformers.PreTrainedModel]


class Skeleton:
    """What `build` made. `inner` is the transformers model with peft's layers in it; `names` maps the state key of
    a parameter to the checkpoint tensor that fills it, `fused` to the several; `tied` lists groups of state keys that
    share one parameter; `adapter` holds the tensors of all adapters by their names in plans (`Source.prefix`)."""

    def __init__(
        self,
        inner: transformers.PreTrainedModel,
        *,
        names: Dict[str, StoredTensor],
        fused: Dict[str, Fused],
        tied: List[List[str]],
        adapter: Dict[str, StoredTensor],
    ) -> None:
        self.inner = inner
        self.names = names
        self.fused = fused
        self.tied = tied
        self.config_updates: Dict[str, object] = {}
        # The dtype of outputs by name, where it is not the base's or the requested one.
        self.output_dtypes: Dict[str, str] = {}
        self.base_rows: Optional[int] = None
        # Where the base is quantized.
        self.decoded: Optional[Decoded] = None
        self.adapter = adapter
        self.partners = {key: group for group in tied for key in group}

    def find(self, key: str) -> StoredTensor:
        """Like `stored`, for a key that the plan has checked."""
        found = self.stored(key)
        if found is None:
            raise refuse("`%s` is not in the base's files" % key)
        return found

    def stored(self, key: str) -> Optional[StoredTensor]:
        """The checkpoint tensor of a state key, or of a key that is tied to it."""
        for one in [key, *self.partners.get(key, [])]:
            if one in self.names:
                return self.names[one]
        return None


def build(base: WeightFolder, adapters: List[Tuple[Source, FileHeader]], request: StreamMergeRequest) -> Skeleton:
    adapter_config = loading.read_json(os.path.join(adapters[0][0].folder, "adapter_config.json"))
    _refuse_unusual([one for one, _ in adapters])
    labels = loading.labels_of(
        [(one.folder, {tensor.name: tensor.shape for tensor in header.tensors}) for one, header in adapters]
    )
    found = base_without_weights(
        base,
        adapter_config,
        labels,
        trained=[tensor.name for _, header in adapters for tensor in header.tensors],
        architecture=request.architecture,
        quantized=request.quantized,
    )
    inner = found.model
    rows = answers.embedding_rows(inner)
    if request.embedding.grown is not None:
        _grow(inner, request.embedding.grown)
    tied = tied_groups(inner)
    for name, parameter in inner.named_parameters(remove_duplicate=False):
        parameter.requires_grad_(False)
        setattr(parameter, TAG, ("base", name))
    _check_shapes(inner, found.names)
    apply_adapters(inner, adapters, request.embedding.overlaid)
    held = {one.prefix + tensor.name: tensor for one, header in adapters for tensor in header.tensors}
    skeleton = Skeleton(inner, names=found.names, fused=found.fused, tied=tied, adapter=held)
    skeleton.config_updates, skeleton.base_rows, skeleton.decoded = found.updates, rows, found.decoded
    return skeleton


def _refuse_unusual(adapters: List[Source]) -> None:
    for one in adapters:
        found = methods.unusual(loading.read_json(os.path.join(one.folder, "adapter_config.json")))
        if found:
            raise refuse("%s, which peft has to load onto the base itself" % ", ".join(found))


class EmptyBase(NamedTuple):
    """The base on the meta device, what fills its parameters (`name_map`), what is quantized of that, and what its
    config.json lacks."""

    model: transformers.PreTrainedModel
    names: Dict[str, StoredTensor]
    fused: Dict[str, Fused]
    decoded: Optional[Decoded]
    updates: Dict[str, object]


def base_without_weights(
    base: WeightFolder,
    adapter_config: AdapterConfig,
    labels: Optional[int],
    *,
    trained: Sequence[str] = (),
    architecture: Optional[str],
    quantized: Optional[QuantizedBase],
) -> EmptyBase:
    """As the class that has modules for the `trained` tensors of the adapter. A quantized base is listed, from here on,
    as the plain tensors that it stands for."""
    import transformers

    loading.quiet()
    try:
        config = transformers.AutoConfig.from_pretrained(base.path, trust_remote_code=False)
    except Exception as error:  # a value of it may provoke anything
        said = loading.said(error)
        raise refuse("transformers %s cannot read the base's config: %s" % (transformers.__version__, said)) from error
    config, decoded = settle(config, base, quantized)
    loading.with_labels(config, labels)
    inner, own = fitting_class(config, adapter_config, architecture, trained)
    updates = _new_config(own, type(inner).__name__, labels)
    names, fused = name_map(inner, base)
    if decoded is not None and not decoded.stored:
        decoded.quantize_on_loading(base, names, type(inner), own)
    _take_dtypes(inner, names, fused)
    return EmptyBase(inner, names, fused, decoded, updates)


def _new_config(config: transformers.PretrainedConfig, architecture: str, labels: Optional[int]) -> Dict[str, object]:
    """What the base's config.json lacks to describe a model with a head that was made in training."""
    if labels is None:
        return {}
    names = {str(number): str(name) for number, name in config.id2label.items()}
    return {
        "architectures": [architecture],
        "id2label": names,
        "label2id": {name: int(key) for key, name in names.items()},
    }


def fitting_class(
    config: transformers.PretrainedConfig, adapter_config: AdapterConfig, recorded: Optional[str], names: Sequence[str]
) -> Tuple[transformers.PreTrainedModel, transformers.PretrainedConfig]:
    """The first class of the checkpoint that has modules for the adapter's tensors, without weights, and its config;
    where none has, the first of all: peft may know these modules by other names."""
    first: Optional[Tuple[transformers.PreTrainedModel, transformers.PretrainedConfig]] = None
    for wanted, own in classes.candidates(config, adapter_config, recorded):
        try:
            inner = empty_model(wanted, own)
        except KnownError:
            if first is None:
                raise
            continue
        first = first or (inner, own)
        if not names or classes.matching(inner, names):
            return inner, own
    if first is None:
        raise refuse("transformers knows no model for %s" % type(config).__name__)
    return first


def name_map(
    model: transformers.PreTrainedModel, base: WeightFolder
) -> Tuple[Dict[str, StoredTensor], Dict[str, Fused]]:
    """Which checkpoint tensor fills which parameter, by this transformers' own renaming rules, and which parameters are
    made from several. What would be split on loading is left out: whoever needs that cannot be streamed."""
    wanted = set(model.state_dict().keys())
    found = new_names(model, base, wanted)
    if found is not None:
        return found
    prefix = getattr(model, "base_model_prefix", "")
    mapping = getattr(model, "_checkpoint_conversion_mapping", None) or {}
    rules = [(re.compile(old), new) for old, new in mapping.items()]
    names: Dict[str, StoredTensor] = {}
    for name, tensor in base.tensors.items():
        key = _old_style(name, rules, prefix, wanted)
        if key is not None:
            names.setdefault(key, tensor)
    return names, {}


def _old_style(name: str, rules: List[Tuple[Pattern[str], str]], prefix: str, wanted: Set[str]) -> Optional[str]:
    """transformers 4: the class's own regular expressions (4.52 on), then the base model's prefix added or taken
    away."""
    key = name
    for old, new in rules:
        key, count = old.subn(new, key)
        if count:
            break
    for ending, usual in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        if key.endswith(ending) and key not in wanted:
            key = key[: -len(ending)] + usual
    for candidate in (key, prefix + "." + key, key[len(prefix) + 1 :] if key.startswith(prefix + ".") else key):
        if candidate in wanted:
            return candidate
    return None


def _take_dtypes(model: transformers.PreTrainedModel, names: Dict[str, StoredTensor], fused: Dict[str, Fused]) -> None:
    """Give each parameter the dtype its tensor has on disk: older peft makes its own parameters in the base's dtype."""
    import torch

    stored = [torch_dtype(tensor.dtype) for tensor in names.values()]
    floating = [dtype for dtype in stored if dtype.is_floating_point]
    usual = max(set(floating), key=floating.count) if floating else torch.float32
    sources = {**{key: one.sources[0][1] for key, one in fused.items()}, **names}
    # transformers loads these in float32 from a float16 checkpoint, so peft merges them in float32.
    precise = set(getattr(model, "_keep_in_fp32_modules", None) or [])
    for name, parameter in model.named_parameters(remove_duplicate=False):
        dtype = torch_dtype(sources[name].dtype) if name in sources else usual
        if dtype == torch.float16 and precise & set(name.split(".")):
            dtype = torch.float32
        # A tied key that the checkpoint does not store must not undo the dtype of the one that it does.
        known = name in sources or parameter.dtype == torch.float32
        if known and parameter.is_floating_point() and dtype.is_floating_point:
            parameter.data = parameter.data.to(dtype)


def _check_shapes(model: transformers.PreTrainedModel, names: Dict[str, StoredTensor]) -> None:
    """Remember on each parameter how many of its rows the checkpoint has; only whole tables may be grown."""
    for name, parameter in model.named_parameters(remove_duplicate=False):
        tensor = names.get(name)
        if tensor is None or tuple(parameter.shape) == tensor.shape:
            continue
        if tuple(parameter.shape[1:]) != tensor.shape[1:] or parameter.shape[0] < tensor.shape[0]:
            raise refuse(
                "`%s` is %s in the files and %s in the model" % (name, list(tensor.shape), list(parameter.shape))
            )


def _grow(model: transformers.PreTrainedModel, rows: int) -> None:
    arguments: Dict[str, object] = {}
    if "mean_resizing" in inspect.signature(model.resize_token_embeddings).parameters:
        arguments["mean_resizing"] = False  # the new rows come from the adapter, and the mean would need the weights
    try:
        model.resize_token_embeddings(rows, **arguments)
    except (RuntimeError, NotImplementedError) as error:  # Marian of transformers 5 looks at the values
        raise refuse("%s does not grow without weights: %s" % (type(model).__name__, error)) from error
    model.tie_weights()


def tied_groups(model: transformers.PreTrainedModel) -> List[List[str]]:
    groups: Dict[int, List[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    return [sorted(names) for names in groups.values() if len(names) > 1]
