"""Loading a base and an adapter with whatever transformers and peft this environment holds."""

from __future__ import annotations

import inspect
import json
import os
import warnings
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple, Type, Union

from ..protocol import KnownError
from .several import Source, activate, load_further

if TYPE_CHECKING:
    import peft
    import torch
    import transformers

    from ..requests import QuantizedBase

# An adapter_config.json: what a release writes into it is for that release to say.
AdapterConfig = Dict[str, Any]
DtypeLike = Union[str, "torch.dtype"]

# task type of an adapter -> the auto class that peft itself loads its base with (peft.auto)
_TASK_CLASSES = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoModel",
}
# Heads that are made at training time: the base's own architecture does not have them.
_NEW_HEADS = {"SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"}
_HEAD_NAMES = ("score", "classifier", "qa_outputs")


def quiet() -> None:
    """Warnings of the libraries go to the log once, and progress bars nowhere."""
    import transformers

    warnings.simplefilter("default")
    transformers.logging.set_verbosity_warning()
    if hasattr(transformers.logging, "disable_progress_bar"):
        transformers.logging.disable_progress_bar()


def read_json(path: str) -> AdapterConfig:
    with open(path, encoding="utf-8") as stream:
        document = json.load(stream)
    if not isinstance(document, dict):
        raise KnownError("input", "%s does not hold a JSON object" % path, path=path)
    return document


def model_class(
    config: transformers.PretrainedConfig, adapter_config: Optional[AdapterConfig], recorded: Optional[str]
) -> Type[transformers.PreTrainedModel]:
    """The class that the base was loaded as: what the manifest recorded, what the adapter's task makes of it, or the
    architecture that the base's config names."""
    import transformers

    if recorded and hasattr(transformers, recorded):
        return _class(recorded)
    task = (adapter_config or {}).get("task_type")
    if task in _NEW_HEADS:
        return _class(_TASK_CLASSES[task])
    for name in getattr(config, "architectures", None) or []:
        if hasattr(transformers, name):
            return _class(name)
    return _class(_TASK_CLASSES.get(task or "", "AutoModelForCausalLM"))


def _class(name: str) -> Type[transformers.PreTrainedModel]:
    import transformers

    found: Type[transformers.PreTrainedModel] = getattr(transformers, name)
    return found


def dtype_argument(dtype: DtypeLike) -> Dict[str, DtypeLike]:
    """`dtype=` where this transformers knows it (late 4.5x on), `torch_dtype=` before."""
    import transformers
    from packaging.version import Version

    name = "dtype" if Version(transformers.__version__) >= Version("4.56") else "torch_dtype"
    return {name: dtype}


def load_base(
    path: str,
    adapter_config: Optional[AdapterConfig] = None,
    recorded: Optional[str] = None,
    dtype: DtypeLike = "auto",
    *,
    labels: Optional[int] = None,
    quantized: Optional[QuantizedBase] = None,
) -> transformers.PreTrainedModel:
    """Load a whole model from a folder, in the dtype its files have unless told otherwise, and put it in eval mode.
    `quantized` is the request's decision about a quantized base: `dequantize` loads it as training did.

    Raises:
        KnownError: kind `load-failed`, with the message of transformers.
    """
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(path, trust_remote_code=False)
        if labels is not None:
            config.num_labels = labels
        wanted = model_class(config, adapter_config, recorded)
        more = _as_trained(config, dtype, quantized)
        model, info = wanted.from_pretrained(path, config=config, output_loading_info=True, **more)
    except (ValueError, KeyError, RuntimeError, OSError, ImportError, TypeError, AttributeError) as error:
        raise KnownError(
            "load-failed",
            "transformers %s cannot load `%s`: %s" % (transformers.__version__, path, one_paragraph(error)),
            path=path,
            exception=type(error).__name__,
        ) from error
    missing = [key for key in info.get("missing_keys", []) if key.split(".")[0] not in _HEAD_NAMES]
    # A tied head is not stored, so it may be reported missing; that is how it should be.
    missing = [key for key in missing if key not in set(tied_keys(model))]
    if missing:
        raise KnownError(
            "weights-missing",
            "`%s` lacks %d tensors of %s" % (path, len(missing), type(model).__name__),
            path=path,
            tensors=sorted(missing)[:50],
        )
    return model.eval()


def _as_trained(
    config: transformers.PretrainedConfig, dtype: DtypeLike, quantized: Optional[QuantizedBase]
) -> Dict[str, object]:
    """What `from_pretrained` is told of dtype and quantization."""
    import transformers

    if not quantized or quantized.stored:
        return {**dtype_argument(dtype)}
    if getattr(config, "quantization_config", None) is not None:
        del config.quantization_config
    if quantized.policy != "dequantize":
        return {**dtype_argument(dtype)}
    known = {key: value for key, value in quantized.config.items() if not key.startswith("_")}
    return {
        "quantization_config": transformers.BitsAndBytesConfig.from_dict(known),
        **dtype_argument(quantized.dtype or dtype),
    }


def tied_keys(model: transformers.PreTrainedModel) -> List[str]:
    """Names of parameters that this model ties to another one (a list before transformers 5, a mapping since)."""
    keys = getattr(model, "_tied_weights_keys", None) or []
    found = list(keys)
    expanded = getattr(model, "all_tied_weights_keys", None)
    if expanded:
        found += list(expanded)
    return found


def new_head_labels(adapter_config: AdapterConfig, shapes: Dict[str, Tuple[int, ...]]) -> Optional[int]:
    """How many labels a classification head of this adapter has; None where the adapter has no such head."""
    if adapter_config.get("task_type") not in _NEW_HEADS:
        return None
    for name, shape in shapes.items():
        pieces = name.split(".")
        if pieces[-1] == "weight" and any(piece in _HEAD_NAMES for piece in pieces):
            return int(shape[0])
    return None


def labels_of(adapters: List[Tuple[str, Dict[str, Tuple[int, ...]]]]) -> Optional[int]:
    """`new_head_labels` of the first adapter that has such a head; each is a folder and its tensors' shapes."""
    for folder, shapes in adapters:
        found = new_head_labels(read_json(os.path.join(folder, "adapter_config.json")), shapes)
        if found is not None:
            return found
    return None


def load_adapters(base: transformers.PreTrainedModel, given: List[Source]) -> peft.PeftModel:
    """Load the adapters with this environment's own peft and defaults, each at its weight, all of them active.

    Raises:
        KnownError: kind `adapter-load-failed`, with the message of peft.
    """
    import peft

    path = given[0].folder
    try:
        model = peft.PeftModel.from_pretrained(base, path, given[0].name, is_trainable=False)
        for one in given[1:]:
            path = one.folder
            load_further(model, one)
        activate(model, given)
    except (ValueError, KeyError, RuntimeError, OSError, ImportError, TypeError, AttributeError) as error:
        raise KnownError(
            "adapter-load-failed",
            "peft %s cannot load `%s`: %s" % (peft.__version__, path, one_paragraph(error)),
            path=path,
            exception=type(error).__name__,
        ) from error
    return model.eval()


def save(model: transformers.PreTrainedModel, folder: str, max_shard_size: Optional[str]) -> None:
    """`save_pretrained` with safetensors, in the era's own spelling."""
    arguments: Dict[str, object] = {}
    if max_shard_size:
        arguments["max_shard_size"] = max_shard_size
    if "safe_serialization" in inspect.signature(model.save_pretrained).parameters:
        arguments["safe_serialization"] = True
    model.save_pretrained(folder, **arguments)


def tensor_files(folder: str) -> List[str]:
    """The safetensors files that hold a folder's weights: those its index names, or all of them."""
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors.index.json"):
            index = read_json(os.path.join(folder, name))
            return sorted({os.path.join(folder, os.path.basename(file)) for file in index["weight_map"].values()})
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".safetensors")]


def one_paragraph(error: BaseException, limit: int = 1200) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
