"""What the class name in `architectures` says of a model: the type it suggests, and whether it is that type's. Pure.

AutoModelForCausalLM goes by `model_type` alone: a LLaVA of its own repository is of the type `llava`, or `llama`, and
its class (`LlavaLlamaForCausalLM`) is none of transformers'. What was proved of the type is no proof for the model.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from envpin.matrix.signs import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Where the name of the model ends and that of its head begins.
_HEAD = re.compile(
    r"For[A-Z]|Model(?:$|[A-Z])|LMHead|With(?:LMHead|Hifi)|DoubleHeads|PreTrained|(?:Encoder|Backbone)(?:$|Model)"
)
# Classes whose words stand in another order than those of their type, or that share another type's classes.
_OTHER_ORDER: Mapping[str, str] = MappingProxyType({
    "hunyuandensev1": "hunyuan_v1_dense", "hunyuanmoev1": "hunyuan_v1_moe", "ast": "audio-spectrogram-transformer",
})  # fmt: skip
_SHARED: Mapping[str, frozenset[str]] = MappingProxyType({
    "internlm3": frozenset({"llama"}), "exaone": frozenset({"llama"}), "shieldgemma2": frozenset({"gemma3"}),
    "pixtral": frozenset({"llava"}), "code_llama": frozenset({"llama"}), "gpt-sw3": frozenset({"gpt2"}),
    "glmga": frozenset({"glm46v"}), "sarvam_mla": frozenset({"deepseekv3"}), "sarvam_moe": frozenset({"glm4moe"}),
})  # fmt: skip
# A draft model or extra heads, named after the model that they speed up.
_DRAFT = re.compile(r"eagle|medusa|speculat|dflash|hydra|mtp", re.IGNORECASE)
# What classes of transformers 4.36 to 5.24 are for; another word is that of a class of the model's own.
_HEADS = frozenset({
    "AudioClassification", "AudioFrameClassification", "AudioTokenization", "AudioVisualClassification",
    "BlockDiffusion", "CTC", "CausalImageModeling", "CausalLM", "Classification", "ConditionalGeneration",
    "ContrastiveLearning", "Decision", "DensePrediction", "DepthEstimation", "DocumentQuestionAnswering",
    "EntityClassification", "EntityPairClassification", "EntitySpanClassification", "Generation",
    "GraphClassification", "ImageAndTextRetrieval", "ImageClassification", "ImageClassificationConvProcessing",
    "ImageClassificationFourier", "ImageClassificationLearned", "ImageClassificationWithTeacher", "ImageMatting",
    "ImageSuperResolution", "ImageTextRetrieval", "ImageTextToText", "ImagesAndTextClassification",
    "InformationExtraction", "InstanceSegmentation", "KeypointDetection", "KeypointMatching", "MaskGeneration",
    "MaskedImageModeling", "MaskedLM", "MultimodalAutoencoding", "MultipleChoice", "NextSentencePrediction",
    "NormalEstimation", "ObjectDetection", "OpenQA", "OpticalFlow", "PointmapEstimation", "PoseEstimation",
    "PreTraining", "Prediction", "Pretraining", "ProteinFolding", "ProteinText2Text", "QuestionAnswering",
    "QuestionAnsweringSimple", "RNNT", "RegionToPhraseAlignment", "Regression", "Retrieval", "SceneTextRecognition",
    "Segmentation", "SemanticSegmentation", "SequenceClassification", "SpeechToSpeech", "SpeechToText", "TDT",
    "TableRecognition", "TextEmbeddings", "TextRecognition", "TextToSpeech", "TextToText",
    "TimeSeriesClassification", "TokenClassification", "UniversalSegmentation", "VideoClassification",
    "VideoGrounding", "VisionText2Text", "VisualReasoning", "XVector",
})  # fmt: skip
_PURPOSE = re.compile(r"(?<=[a-z0-9_])For([A-Z]\w*)$")
_OWN_FIELDS: Mapping[str, str] = MappingProxyType({
    "mm_vision_tower": "LLaVA's own code", "medusa_num_heads": "Medusa", "draft_vocab_size": "a draft model",
    "speculators_model_type": "a draft model",
})  # fmt: skip


def architecture_type(architecture: str, known: Iterable[str] = ()) -> str:
    """The model type that a class name suggests: `LlamaForCausalLM` is `llama`, `Qwen2VLForCausalLM` is `qwen2_vl`; of
    `known` types the one that is written with the same letters."""
    stem = _HEAD.split(architecture)[0] or architecture
    letters = squashed(stem)
    return _OTHER_ORDER.get(letters) or next(
        (one for one in known if squashed(one) == letters), re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", stem).lower()
    )


def foreign_class(kind: str, config: Mapping[str, object]) -> str | None:
    """What says that the model is of another class than those that transformers has for the type; None for nothing."""
    for field, owner in _OWN_FIELDS.items():
        if config.get(field) is not None:
            return f"`{field}` is a field of {owner}"
    written = config.get("architectures")
    first = written[0] if isinstance(written, list) and written else None
    if not isinstance(first, str) or not first.isidentifier():
        return None
    if not _is_class_of(kind, first):
        return f"its architecture `{shorten(first)}` is no class of transformers for that type"
    code = config.get("auto_map")
    purpose = _PURPOSE.search(first)
    entry = code.get(f"AutoModel{purpose[0] if purpose else ''}") if isinstance(code, dict) else None
    named = entry.rpartition(".")[2] if isinstance(entry, str) else ""
    if not named.isidentifier() or _is_class_of(kind, named):
        return None
    return f"`auto_map` names `{shorten(named)}`, which is no class of transformers for that type"


def _is_class_of(kind: str, name: str) -> bool:
    """Whether transformers may have a class of this name for the type: by the words before and after `For`."""
    own, letters = squashed(kind), squashed(architecture_type(name))
    alike = {own, own.removesuffix("text"), own.removesuffix("textmodel"), "jev"} | _SHARED.get(kind, frozenset())
    purpose = _PURPOSE.search(name)
    if purpose is not None and purpose[1] not in _HEADS:
        return False
    return (letters in alike or letters.removesuffix("text") in alike) and not _DRAFT.search(name)


def class_rules() -> dict[str, object]:
    """What the two above go by, for a page that asks the same."""
    shared = {kind: sorted(letters) for kind, letters in _SHARED.items()}
    return {"head": _HEAD.pattern, "draft": _DRAFT.pattern, "other_order": dict(_OTHER_ORDER), "shared": shared,
            "heads": sorted(_HEADS), "fields": dict(_OWN_FIELDS)}  # fmt: skip


def squashed(text: str) -> str:
    """Only the letters and digits, in lower case: `XLMRoberta` and `xlm-roberta` are one."""
    return re.sub(r"[^a-z0-9]", "", text.lower())
