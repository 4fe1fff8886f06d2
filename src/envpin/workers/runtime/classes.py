"""Which class of a checkpoint an adapter was trained on.

It is not always the one that the checkpoint names: a vision-language checkpoint can be trained by its text model, a
language model by its backbone, and a head that is made in training belongs to yet another class. The names of an
adapter's tensors tell: they lie in the modules of the class that training loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Iterator, List, Mapping, Optional, Set, Tuple, Type, cast

if TYPE_CHECKING:
    import torch
    import transformers

    from .methods import AdapterConfig

    ModelType = Type[transformers.PreTrainedModel]

# task type of an adapter -> the auto class that peft itself loads its base with (peft.auto)
TASK_CLASSES = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoModel",
}
# Heads that are made at training time: the base's own architecture does not have them.
NEW_HEADS = {"SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"}
HEAD_NAMES = ("score", "classifier", "qa_outputs")
# Where the names of the adapter fit no class that the checkpoint or the task names.
_OTHERS = (
    "AutoModelForCausalLM",
    "AutoModelForSeq2SeqLM",
    "AutoModel",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
    "AutoModelForMaskedLM",
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForCTC",
    "AutoModelForImageClassification",
    "AutoModelForAudioClassification",
    "AutoModelForImageTextToText",
    "AutoModelForVision2Seq",
)
# A tensor of an adapter is called by its module and up to so many words: `.lora_A.weight`, `.base_layer.lora_A.weight`.
_WORDS_BEHIND_MODULE = 4


def candidates(
    config: transformers.PretrainedConfig, adapter_config: Optional[AdapterConfig], recorded: Optional[str]
) -> Iterator[Tuple[ModelType, transformers.PretrainedConfig]]:
    """Concrete classes that the base may have been loaded as, each with the part of the config that it takes: what the
    manifest recorded and the adapter's config names, the class of a task that makes a head, the checkpoint's own
    architectures, and then all others."""
    import transformers

    task = (adapter_config or {}).get("task_type")
    named = [recorded, ((adapter_config or {}).get("auto_mapping") or {}).get("base_model_class")]
    named += [TASK_CLASSES[task]] if task in NEW_HEADS else []
    named += list(getattr(config, "architectures", None) or [])
    named += [TASK_CLASSES.get(task or "", "AutoModelForCausalLM"), *_OTHERS]
    seen: Set[str] = set()
    for name in named:
        found = _concrete(getattr(transformers, name, None), config) if name else None
        if found is not None and found.__name__ not in seen:
            seen.add(found.__name__)
            yield found, own_config(found, config)


def _concrete(wanted: object, config: transformers.PretrainedConfig) -> Optional[ModelType]:
    """The class behind an auto class, since only a concrete one can be built from a config without weights; None where
    this transformers has none for the config."""
    mapping = getattr(wanted, "_model_mapping", None)
    if mapping is None:
        return cast("ModelType", wanted) if hasattr(wanted, "from_pretrained") else None
    try:
        found = mapping[type(config)]
    except (KeyError, ImportError, AttributeError, ValueError):
        return None
    if not isinstance(found, (list, tuple)):
        return cast("ModelType", found)
    named = [one for one in found if one.__name__ in (getattr(config, "architectures", None) or [])]
    return cast("ModelType", (named or list(found))[0])


def own_config(wanted: ModelType, config: transformers.PretrainedConfig) -> transformers.PretrainedConfig:
    """The part of a composite config that `wanted` is built from: a text model takes `text_config` only."""
    needed = getattr(wanted, "config_class", None)
    if not isinstance(needed, type) or isinstance(config, needed):
        return config
    parts = [getattr(config, name, None) for name in getattr(config, "sub_configs", None) or ["text_config"]]
    return next((part for part in parts if isinstance(part, needed)), config)


def matching(model: torch.nn.Module, names: Iterable[str]) -> int:
    """How many of an adapter's tensors, by their names in its file, lie in modules of `model`."""
    modules = {name for name, module in model.named_modules() if name and next(module.parameters(), None) is not None}
    with_weights = {
        name for name in modules if next(model.get_submodule(name).parameters(recurse=False), None) is not None
    }
    return sum(lies_in(name, with_weights) for name in names)


def lies_in(name: str, modules: Set[str]) -> bool:
    """Whether the tensor of an adapter file is called by one of `modules`, which have weights of their own."""
    pieces = name.split(".")
    pieces = pieces[2:] if pieces[:2] == ["base_model", "model"] else pieces
    return any(".".join(pieces[:-behind]) in modules for behind in range(1, min(_WORDS_BEHIND_MODULE, len(pieces)) + 1))


def is_own(wanted: ModelType, config: transformers.PretrainedConfig) -> bool:
    """Whether the checkpoint itself names this class."""
    return wanted.__name__ in (getattr(config, "architectures", None) or [])


def new_head_labels(adapter_config: AdapterConfig, shapes: Mapping[str, Tuple[int, ...]]) -> Optional[int]:
    """How many labels a classification head of this adapter has; None where the adapter has no such head."""
    saved = adapter_config.get("modules_to_save") or []
    if adapter_config.get("task_type") not in NEW_HEADS and not set(saved) & set(HEAD_NAMES):
        return None
    heads: List[Tuple[str, int]] = []
    for name, shape in shapes.items():
        pieces = name.split(".")
        if pieces[-1] == "weight" and "original_module" not in pieces and any(one in HEAD_NAMES for one in pieces):
            heads.append((name, int(shape[0])))
    # RoBERTa's head is two layers, `dense` and `out_proj`; its labels are the rows of the last.
    last = [rows for name, rows in heads if ".out_proj." in name]
    found = last or [rows for _, rows in heads]
    return found[0] if found else None
