"""Whether peft's own merge can be repeated at all, and what it may change.

Some methods draw random numbers when they are loaded (a random singular value decomposition, a projection that was not
saved): their merge is another one each time, and none of them is what was trained. So whatever envpin does not know is
merged twice, with different seeds, and has to come out the same.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from typing import TYPE_CHECKING, Dict, List, Optional, Set, Tuple

from ..protocol import KnownError
from ..runtime import loading, methods
from ..runtime.accounting import LoadWatch, plain_key
from ..runtime.several import Source
from ..stream.io.files import WeightFolder
from ..stream.operations import units
from ..stream.skeleton import name_map

if TYPE_CHECKING:
    import peft
    import torch
    import transformers

    from ..runtime.methods import AdapterConfig


def settle(adapters: List[Source]) -> List[str]:
    """What of the adapters peft itself has to judge, in words.

    Raises:
        KnownError: `cannot-merge` for what peft has no merge for, `not-as-trained` where its merge is another model,
            `needs-gpu` and `needs-packages` where only this machine or environment is in the way.
    """
    unusual: List[str] = []
    for one in adapters:
        config = loading.read_json(os.path.join(one.folder, "adapter_config.json"))
        found = methods.refusal(config)
        if found is not None:
            kind = "cannot-merge" if found.code == "method-cannot-merge" else "not-as-trained"
            raise KnownError(kind, "`%s` cannot be merged: %s" % (os.path.basename(one.folder), found.reason))
        _refuse_loftq(config, one)
        _refuse_prompts(config, one)
        unusual += methods.unusual(config)
    return unusual


def _refuse_loftq(config: AdapterConfig, one: Source) -> None:
    """Where this environment or machine cannot quantize the base again, as loading does."""
    import peft
    import torch

    bits = methods.loftq_bits(config)
    if bits is None:
        return
    why = (
        "`%s` cannot be merged here: `init_lora_weights` is `loftq` with %s bits, and loading it quantizes the base "
        "again" % (os.path.basename(one.folder), bits)
    )
    major, minor = peft.__version__.split(".")[:2]
    release = (int(major), int(minor))
    xpu = getattr(torch, "xpu", None)
    seen = torch.cuda.is_available() or (xpu is not None and xpu.is_available())
    if methods.needs_gpu(config, release) and not seen:
        words = "%s, which peft %s does on a GPU only; this torch sees none" % (why, peft.__version__)
        raise KnownError("needs-gpu", words)
    missing = [name for name in ("bitsandbytes", "scipy") if importlib.util.find_spec(name) is None]
    if release >= (0, 20):
        missing = [name for name in missing if name != "scipy"]
    if missing:
        names = " and ".join("`%s`" % name for name in missing)
        words = "%s, for which peft %s needs %s" % (why, peft.__version__, names)
        raise KnownError("needs-packages", words + ", which this environment lacks")


def _refuse_prompts(config: AdapterConfig, one: Source) -> None:
    """Of a peft that is newer than unmergeable.json."""
    import peft
    from peft.config import PromptLearningConfig

    method = methods.method_of(config)
    try:
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
    except ImportError:
        return
    found = {str(getattr(key, "value", key)): value for key, value in PEFT_TYPE_TO_CONFIG_MAPPING.items()}.get(method)
    if found is not None and issubclass(found, PromptLearningConfig):
        raise KnownError(
            "cannot-merge",
            "peft %s has no merge for `%s`: `peft_type` is `%s`, which trains what the model is given, and none of its "
            "weights" % (peft.__version__, os.path.basename(one.folder), method),
        )


def merge(model: peft.PeftModel) -> transformers.PreTrainedModel:
    """`merge_and_unload()`, and in peft's words why it cannot.

    Raises:
        KnownError: `cannot-merge`.
    """
    import peft

    _keep_heads(model)
    try:
        return _without_wrappers(model.merge_and_unload())
    except Exception as error:  # each method refuses in a way of its own
        method = methods.method_of(next(iter(model.peft_config.values())).to_dict())
        raise KnownError(
            "cannot-merge",
            "peft %s does not merge an adapter whose `peft_type` is `%s`: %s: %s"
            % (peft.__version__, method.rpartition(".")[2], type(error).__name__, loading.one_paragraph(error, 400)),
        ) from error


def _keep_heads(model: peft.PeftModel) -> None:
    """Let a head of several layers take its place again. Most methods of peft up to 0.21.2 give what replaces a module
    that module's `weight`, which such a head has not (`_replace_module` in peft/tuners/tuners_utils.py)."""
    from peft.utils.other import ModulesToSaveWrapper

    tuner = model.base_model
    replace = getattr(tuner, "_replace_module", None)
    if replace is None:
        return

    def put(parent: torch.nn.Module, name: str, new: torch.nn.Module, old: torch.nn.Module) -> None:
        if isinstance(old, ModulesToSaveWrapper):
            setattr(parent, name, new)
        else:
            replace(parent, name, new, old)

    tuner._replace_module = put  # noqa: SLF001 (peft calls it by this name)


def _without_wrappers(model: transformers.PreTrainedModel) -> transformers.PreTrainedModel:
    """The model with the trained copy in place of each wrapper that the merge left: LN tuning takes off its own alone
    (`_unload_and_optionally_merge` in peft/tuners/ln_tuning/model.py)."""
    from peft.utils.other import ModulesToSaveWrapper

    for name, module in list(model.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            above, _, leaf = name.rpartition(".")
            active = module.active_adapter
            trained = active if isinstance(active, str) else active[0]
            setattr(model.get_submodule(above), leaf, module.modules_to_save[trained])
    return model


def digests(model: transformers.PreTrainedModel) -> Dict[str, str]:
    """A digest of each parameter."""
    import torch

    return {
        name: hashlib.sha256(
            parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        ).hexdigest()
        for name, parameter in model.named_parameters()
    }


def refuse_chance(one: Dict[str, str], other: Dict[str, str], unusual: List[str]) -> None:
    """
    Raises:
        KnownError: `not-reproducible`, naming what of the adapter draws random numbers.
    """
    differing = sorted(name for name in set(one) | set(other) if one.get(name) != other.get(name))
    if differing:
        raise KnownError(
            "not-reproducible",
            "peft gives %d other tensors each time it loads this adapter: %s, and loading it draws random numbers, so "
            "no merge is the model that was trained" % (len(differing), ", ".join(unusual)),
            tensors=differing[:50],
        )


def units_of(model: peft.PeftModel) -> List[str]:
    """The paths, in the unwrapped model, of the modules that peft has wrapped."""
    return [path for path, _ in units(model.get_base_model())]


def touched(
    merged: transformers.PreTrainedModel,
    paths: List[str],
    watches: List[LoadWatch],
    given: List[Source],
    base: str,
) -> List[str]:
    """Names, in the model and in the base's files, of all that the loaded adapters may change: what lies in a wrapped
    module, and what peft's loader put anywhere else."""
    keys = _placed(watches, given)
    for key, _ in merged.named_parameters(remove_duplicate=False):
        pieces = key.split(".")
        if any(".".join(pieces[:length]) in paths for length in range(1, len(pieces))):
            keys.add(key)
    kept = getattr(merged, "_weight_conversions", None)
    names, fused = name_map(merged, WeightFolder(base))
    if kept is not None or hasattr(merged, "_weight_conversions"):
        merged._weight_conversions = kept  # noqa: SLF001 (what a save reverts)
    stored = {names[key].name for key in keys if key in names}
    stored |= {source.name for key in keys if key in fused for _, source in fused[key].sources}
    return sorted(keys | stored)


def _placed(watches: List[LoadWatch], given: List[Source]) -> Set[str]:
    """Keys of the unwrapped model that peft's loader put a tensor into."""
    pairs = zip(given, watches)  # noqa: B905 (Python 3.8 has no strict=)
    return {plain_key(key, one.name) for one, watch in pairs for key in watch.keys}


def made_rows(
    merged: transformers.PreTrainedModel, rows: Optional[int], watches: List[LoadWatch], given: List[Source]
) -> Dict[str, Tuple[int, int]]:
    """Of a grown vocabulary, the rows of each table that neither the base nor an adapter brings: transformers made them
    on the resize. A table that shares its tensor with one that was brought has none."""
    if rows is None:
        return {}  # images, sound: no table of tokens
    placed = _placed(watches, given)
    tables = {id(module.weight) for module in (merged.get_input_embeddings(), merged.get_output_embeddings()) if module}
    return {
        name: (rows, int(parameter.shape[0]))
        for name, parameter in merged.named_parameters()
        if id(parameter) in tables and parameter.shape[0] > rows and name not in placed
    }
