"""The adapters of a merge put onto a model without weights, by peft's own loader.

`PeftModel.from_pretrained` and `load_adapter` run as always, with two doors watched: where they read an adapter's file
they are handed empty parameters that remember which tensor they stand for, and where they fill the model those very
parameters are put in place.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Optional, Tuple

from ..protocol import KnownError
from ..runtime import loading
from ..runtime.admitted import admit
from ..runtime.several import Source, WeightedAdapters, activate, load_further, sources
from .io.files import FileHeader, read_header, refuse, torch_dtype

if TYPE_CHECKING:
    import peft
    import torch
    import transformers

TAG = "_envpin_source"
# The dtype that a loaded tensor had on its way, where peft reads into a parameter of one dtype and then casts it.
THROUGH = "_envpin_through"


def read_adapters(request: WeightedAdapters) -> List[Tuple[Source, FileHeader]]:
    """The headers of the adapters of a request, in the order of merging."""
    found = []
    for one in sources(request):
        path = os.path.join(one.folder, "adapter_model.safetensors")
        if not os.path.exists(path):
            raise refuse("the adapter `%s` has no adapter_model.safetensors" % one.folder)
        found.append((one, read_header(path)))
    return found


@contextlib.contextmanager
def unfilled() -> Iterator[None]:
    """Random initialisation of empty tensors does nothing: torch would import its compiler for it, which costs seconds
    and a hundred megabytes."""
    import torch

    names = ("normal_", "uniform_")
    kept = {name: getattr(torch.Tensor, name) for name in names}

    def filler(name: str) -> Callable[..., torch.Tensor]:
        def fill(self: torch.Tensor, *arguments: object, **options: object) -> torch.Tensor:
            return self if self.device.type == "meta" else kept[name](self, *arguments, **options)

        return fill

    for name in names:
        setattr(torch.Tensor, name, filler(name))
    try:
        yield
    finally:
        for name in names:
            delattr(torch.Tensor, name)


class _Watch:
    """The two watched doors: peft's reader of adapter files, and `load_state_dict`."""

    def __init__(self, adapter: FileHeader, prefix: str, overlay: Optional[int]) -> None:
        self.adapter = adapter
        self.prefix = prefix
        self.overlay = overlay

    def read(self) -> Dict[str, torch.nn.Parameter]:
        import torch

        tagged = {}
        for tensor in self.adapter.tensors:
            empty = torch.empty(tensor.shape, dtype=torch_dtype(tensor.dtype), device="meta")
            parameter = torch.nn.Parameter(empty, requires_grad=False)
            setattr(parameter, TAG, ("adapter", self.prefix + tensor.name))
            tagged[tensor.name] = parameter
        return tagged

    def fit(self, model: torch.nn.Module, state: Dict[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
        """Give each incoming parameter the dtype (and, where a shorter table is laid over, the shape) of what it
        replaces, as copying into it would have."""
        current = dict(model.named_parameters(remove_duplicate=False))
        current.update(dict(model.named_buffers(remove_duplicate=False)))
        for name, value in state.items():
            there = current.get(name)
            if there is None or getattr(value, TAG, None) is None:
                continue
            if self.overlay is not None and _is_shorter_table(value, there, self.overlay):
                value.data = value.data.new_empty(there.shape)
            if value.dtype != there.dtype:
                value.data = value.data.to(there.dtype)
                setattr(value, THROUGH, there.dtype)
        return state


def _is_shorter_table(value: torch.Tensor, there: torch.Tensor, rows: int) -> bool:
    if value.dim() != there.dim():
        return False
    differing = [axis for axis in range(value.dim()) if value.shape[axis] != there.shape[axis]]
    return len(differing) == 1 and there.shape[differing[0]] == rows and value.shape[differing[0]] < rows


@contextlib.contextmanager
def _watched(watch: _Watch) -> Iterator[None]:
    import torch
    from peft.utils import save_and_load

    if not hasattr(save_and_load, "safe_load_file"):
        raise refuse("this peft reads adapter files in a way that envpin does not know")
    read, fill = save_and_load.safe_load_file, torch.nn.Module.load_state_dict
    register = torch.nn.Module.register_parameter

    def load_state_dict(
        self: torch.nn.Module, state_dict: Dict[str, torch.Tensor], strict: bool = True, assign: bool = False
    ) -> object:
        tagged = any(getattr(value, TAG, None) is not None for value in state_dict.values())
        if not tagged:
            return fill(self, state_dict, strict=strict, assign=assign)
        # Inside accelerate's empty-weights context a parameter that is put in place would be replaced by a copy.
        inside, torch.nn.Module.register_parameter = torch.nn.Module.register_parameter, register
        try:
            return fill(self, watch.fit(self, dict(state_dict)), strict=strict, assign=True)
        finally:
            torch.nn.Module.register_parameter = inside

    save_and_load.safe_load_file = lambda *_arguments, **_options: watch.read()
    torch.nn.Module.load_state_dict = load_state_dict
    try:
        yield
    finally:
        save_and_load.safe_load_file = read
        torch.nn.Module.load_state_dict = fill


def apply_adapters(
    inner: transformers.PreTrainedModel, adapters: List[Tuple[Source, FileHeader]], overlay: Optional[int]
) -> peft.PeftModel:
    """Every adapter loaded by peft's own loader, one after the other, at its weight, and all of them active."""
    import torch

    if "assign" not in inspect.signature(torch.nn.Module.load_state_dict).parameters:
        raise refuse("torch %s is too old to stream with" % torch.__version__)
    modules = [name for name, _ in inner.named_modules()]
    for one, _ in adapters:
        admit(loading.read_json(os.path.join(one.folder, "adapter_config.json")), modules)
    model: Optional[peft.PeftModel] = None
    before = _storages(inner)
    with unfilled():
        for one, header in adapters:
            with _watched(_Watch(header, one.prefix, overlay)), _refusing(one.folder):
                model = _load_empty(inner, model, one)
        with _refusing(adapters[-1][0].folder):
            activate(model, [one for one, _ in adapters])
    if model is None:
        raise refuse("there is no adapter to put onto the base")
    if not callable(getattr(type(model.base_model), "merge_and_unload", None)):
        raise refuse("peft has no merge for a %s" % type(model).__name__)
    changed = [name for name, parameter, storage in before if parameter.untyped_storage()._cdata != storage]  # noqa: SLF001
    if changed:
        raise refuse("loading the adapter changes `%s` of the base, whose weights are not there yet" % changed[0])
    return model.eval()


def _storages(inner: transformers.PreTrainedModel) -> List[Tuple[str, torch.nn.Parameter, int]]:
    """Each parameter of the base with the identity of its storage: some initialisations put other weights there."""
    found = inner.named_parameters(remove_duplicate=False)
    return [(name, parameter, parameter.untyped_storage()._cdata) for name, parameter in found]  # noqa: SLF001


@contextlib.contextmanager
def _refusing(folder: str) -> Iterator[None]:
    import peft

    try:
        yield
    except KnownError:
        raise
    except Exception as error:  # the other engine runs the same loader on real weights and reports what it says
        raise refuse(
            "peft %s does not load the adapter `%s` onto a model without weights: %s"
            % (peft.__version__, os.path.basename(folder), loading.one_paragraph(error, 600)),
            exception=type(error).__name__,
        ) from error


def _load_empty(inner: transformers.PreTrainedModel, model: Optional[peft.PeftModel], one: Source) -> peft.PeftModel:
    import peft
    from accelerate import init_empty_weights

    low_memory = "low_cpu_mem_usage" in inspect.signature(peft.PeftModel.from_pretrained).parameters
    options: Dict[str, object] = {"low_cpu_mem_usage": True} if low_memory else {}
    with contextlib.nullcontext() if low_memory else init_empty_weights(include_buffers=False):
        if model is None:
            return peft.PeftModel.from_pretrained(inner, one.folder, one.name, is_trainable=False, **options)
        load_further(model, one, **options)
        return model
