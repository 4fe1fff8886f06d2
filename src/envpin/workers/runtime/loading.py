"""Loading a base and an adapter with whatever transformers and peft this environment holds."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple, Type, Union

from ..protocol import KnownError
from ..stream.io.files import weight_files
from . import classes
from .accounting import LoadWatch, watched
from .admitted import admit
from .methods import AdapterConfig
from .several import Source, activate, load_further

if TYPE_CHECKING:
    import peft
    import torch
    import transformers

    from ..requests import QuantizedBase

DtypeLike = Union[str, "torch.dtype"]


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
        more = with_labels(config, labels)
        wanted, config = next(classes.candidates(config, adapter_config, recorded))
        more.update(_as_trained(config, dtype, quantized))
        model, info = wanted.from_pretrained(path, config=config, output_loading_info=True, **more)
    except (KnownError, MemoryError):
        raise
    except Exception as error:  # whatever a value of a file provokes, such as torch's AssertionError
        why, others = said(error), []
        if _ELSEWHERE in why:
            others = _of_other_shapes(wanted, path, {**more, "config": config})
            why = "%d tensors have other shapes than this config describes" % len(others) if others else why
        raise KnownError(
            "load-failed",
            "transformers %s cannot load `%s`: %s" % (transformers.__version__, path, why),
            path=path,
            exception=type(error).__name__,
            tensors=others,
        ) from error
    anew = _names_of_new((adapter_config or {}).get("modules_to_save"))
    missing = [key for key in info.get("missing_keys", []) if not _starts_anew(key, wanted, recorded, anew)]
    # Names, or before transformers 4.5x and since 5 names with both shapes.
    mismatched = [one if isinstance(one, str) else one[0] for one in info.get("mismatched_keys", [])]
    missing += [key for key in mismatched if not _starts_anew(key, wanted, recorded, anew)]
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


# transformers 5 says which tensors do not fit in its log alone.
_ELSEWHERE = "look at the above report"


def _of_other_shapes(wanted: Type[transformers.PreTrainedModel], path: str, arguments: Dict[str, object]) -> List[str]:
    """Their names with the shapes of file and model; empty where a second look tells nothing, either."""
    try:
        _, info = wanted.from_pretrained(
            path, output_loading_info=True, **{**arguments, "ignore_mismatched_sizes": True}
        )
        return sorted(
            "%s: %s, not %s" % (name, list(there), list(made)) for name, there, made in info["mismatched_keys"]
        )
    except Exception:
        return []


def with_labels(config: transformers.PretrainedConfig, labels: Optional[int]) -> Dict[str, object]:
    """Give the config as many labels as the adapter's own head has, and what `from_pretrained` is told of it: the base
    may have a head of another size, which the adapter's replaces."""
    if labels is None:
        return {}
    if getattr(config, "num_labels", None) != labels:
        config.num_labels = labels
    return {"ignore_mismatched_sizes": True}


def _names_of_new(saved: object) -> List[str]:
    """The modules that an adapter brings whole, besides the heads that peft always takes for new."""
    return [*classes.HEAD_NAMES, *(str(one) for one in (saved if isinstance(saved, list) else []))]


def _starts_anew(
    key: str, wanted: Type[transformers.PreTrainedModel], recorded: Optional[str], anew: List[str]
) -> bool:
    """Whether it does not matter that the files lack this: it comes with the adapter, as heads do (`anew`), or it is
    the pooler of a backbone whose checkpoint was saved without one."""
    path = "." + key
    return any("." + one + "." in path for one in anew) or ("pooler" in key.split(".") and wanted.__name__ == recorded)


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


def labels_of(adapters: List[Tuple[str, Dict[str, Tuple[int, ...]]]]) -> Optional[int]:
    """`classes.new_head_labels` of the first adapter that has such a head; each is a folder and its tensors' shapes."""
    for folder, shapes in adapters:
        found = classes.new_head_labels(read_json(os.path.join(folder, "adapter_config.json")), shapes)
        if found is not None:
            return found
    return None


def load_adapters(
    base: transformers.PreTrainedModel, given: List[Source], watches: Optional[List[LoadWatch]] = None
) -> peft.PeftModel:
    """Load the adapters with this environment's own peft and defaults, each at its weight, all of them active.
    `watches` see them loaded, one each.

    Raises:
        KnownError: kind `adapter-load-failed`, with the message of peft.
    """
    import peft

    path = given[0].folder
    modules = [name for name, _ in base.named_modules()]
    for one in given:
        admit(read_json(os.path.join(one.folder, "adapter_config.json")), modules)
    try:
        with watched(watches[0]) if watches else contextlib.nullcontext():
            model = peft.PeftModel.from_pretrained(base, path, given[0].name, is_trainable=False)
        for number, one in enumerate(given[1:], start=1):
            path = one.folder
            with watched(watches[number]) if watches else contextlib.nullcontext():
                load_further(model, one)
        activate(model, given)
    except (KnownError, MemoryError):
        raise
    except Exception as error:
        raise KnownError(
            "adapter-load-failed",
            "peft %s cannot load `%s`: %s" % (peft.__version__, path, said(error)),
            path=path,
            exception=type(error).__name__,
        ) from error
    return model.eval()


def tensor_files(folder: str) -> List[str]:
    """The safetensors files that transformers reads a folder's weights from; all of them where it would know none."""
    try:
        _, names = weight_files(folder)
    except KnownError as error:
        if error.kind != "not-streamable":
            raise
        names = [name for name in sorted(os.listdir(folder)) if name.endswith(".safetensors")]
    return [os.path.join(folder, name) for name in names]


def said(error: BaseException) -> str:
    """What an error of a library says, after its type where that is part of it: of a KeyError there is a name alone."""
    text = one_paragraph(error)
    if isinstance(error, (LookupError, AssertionError)) or not text:
        return ("%s: %s" % (type(error).__name__, text)).rstrip(": ")
    return text


def one_paragraph(error: BaseException, limit: int = 1200) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
