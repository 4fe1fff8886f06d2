"""How the engine `peft` saves: by transformers where the checkpoint names the class itself, and else over the base's
own files, whose names and other tensors a part of the model (its text model, its backbone) would not keep."""

from __future__ import annotations

import inspect
import os
import shutil
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from ..protocol import KnownError, system_error
from ..requests import MergeRequest
from ..runtime import classes, loading
from ..stream.io.files import WeightFolder
from ..stream.skeleton import fitting_class, name_map

if TYPE_CHECKING:
    import transformers

    from ..runtime.methods import AdapterConfig


def class_of(
    request: MergeRequest, adapter_config: AdapterConfig, labels: Optional[int], names: List[str]
) -> Tuple[Optional[str], bool]:
    """The class that has modules for the adapter's tensors, and whether the checkpoint itself names it."""
    import transformers

    recorded = request.architecture
    try:
        config = transformers.AutoConfig.from_pretrained(request.base, trust_remote_code=False)
        loading.with_labels(config, labels)
        inner, _ = fitting_class(config, adapter_config, recorded, names)
    except Exception:
        return recorded, True  # loading it says what is wrong
    return type(inner).__name__, classes.is_own(type(inner), config)


def save(model: transformers.PreTrainedModel, request: MergeRequest, *, whole: bool) -> None:
    """Save into the staging folder: the `whole` model with `save_pretrained`, or what it has of the base's files."""
    folder = request.staging
    if not whole:
        _over_base(model, request.base, folder)
        return
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()  # some merges leave them transposed, which safetensors refuses
    arguments: Dict[str, object] = {}
    if request.max_shard_size:
        arguments["max_shard_size"] = request.max_shard_size
    if "safe_serialization" in inspect.signature(model.save_pretrained).parameters:
        arguments["safe_serialization"] = True
    try:
        model.save_pretrained(folder, **arguments)
    except (KnownError, OSError, MemoryError):
        raise
    except Exception as error:
        import transformers

        if system_error(error) is not None:
            raise  # a full disk is no fault of what is saved
        raise KnownError(
            "cannot-merge",
            "transformers %s cannot save what peft merged: %s"
            % (transformers.__version__, loading.one_paragraph(error, 400)),
        ) from error


def _over_base(model: transformers.PreTrainedModel, base: str, folder: str) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    weights = WeightFolder(base)
    names, fused = name_map(model, weights)
    state = model.state_dict()
    made = {tensor.name: state[key] for key, tensor in names.items()}
    for key, one in fused.items():
        made.update(one.split(state[key]))
    for path in loading.tensor_files(base):
        with safe_open(path, framework="pt", device="cpu") as reader:
            tensors = {
                name: made[name].detach().cpu().contiguous() if name in made else reader.get_tensor(name)
                for name in reader.keys()
            }
            metadata = {**(reader.metadata() or {}), "format": "pt"}
        save_file(tensors, os.path.join(folder, os.path.basename(path)), metadata=metadata)
    for name in sorted(os.listdir(base)):
        if name in ("config.json", "generation_config.json", weights.index_name):
            shutil.copyfile(os.path.join(base, name), os.path.join(folder, name))
