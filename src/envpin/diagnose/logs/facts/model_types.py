"""Model types by the names of classes, and which transformers know a type. Pure but for collected data."""

from __future__ import annotations

import re
from functools import cache

from envpin.diagnose.logs.facts.name_facts import NOT_A_RELEASE, Words
from envpin.matrix.support import load_support

_CLASS = re.compile(
    r"(?:For[A-Z]\w*|Model|PreTrainedModel|TextConfig|VisionConfig|Config|Processor|ImageProcessor|ImageProcessorFast|"
    r"VideoProcessor|TokenizerFast|Tokenizer)$"
)
# What follows a model type's name in the classes of its parts.
_PART = re.compile(
    r"(?:[A-Z]\w*)?(?:Experts|Attention|MLP|DecoderLayer|EncoderLayer|Router|Block|Output\w*|Embeddings?|Cache)$"
)

_TASK = re.compile(r"(?:For[A-Z]\w+|LMHeadModel|Model)$")
# Model types of several parts that transformers has no type for one by one.
_OF_PARTS = re.compile(
    r"vl|llava|vision|audio|omni|blip|clip|multimodal|encoder-decoder|idefics|paligemma|fuyu|florence"
)

# Members that every model has and no config.
MODELS_OWN = frozenset({
    "config", "parameters", "named_parameters", "named_modules", "generate", "forward", "generation_config",
    "get_input_embeddings", "resize_token_embeddings", "state_dict", "eval", "merge_and_unload",
})  # fmt: skip


def of_used(model_type: str) -> Words | None:
    """Code registers a model type of its own, and a release of transformers brought that type."""
    window = load_support().window(model_type)
    if window is None:
        return None
    says = f"transformers brings `{model_type}` itself from {window[0]} on, and this code registers its own"
    return Words(says, (f"run with transformers < {window[0]}, as the code was written for",
                        "take a newer release of the package that registers it"))  # fmt: skip


def of_type(model_type: str) -> Words | None:
    support = load_support()
    window = support.window(model_type)
    if window is None:
        newest = support.newest()
        says = f"no release of transformers up to {newest} knows `{model_type}`"
        return Words(says, ("the model brings its own code: pass `trust_remote_code=True`, if you trust it",
                            "see what is known of it: envpin matrix resolve MODEL"))  # fmt: skip
    first, last = window
    if last is None and first == support.transformers[0].version:
        # as far back as was looked: no release that anybody runs lacks it
        return NOT_A_RELEASE
    if last is not None:
        says = f"transformers knows `{model_type}` from {first} to {last}"
        return Words(says, (f"run with transformers ≥ {first} and ≤ {last}: envpin run ADAPTER -- CMD",))
    says = f"transformers knows `{model_type}` from {first} on: this one is older"
    return Words(says, (f"run with transformers ≥ {first}", "see which pins go with it: envpin matrix resolve MODEL"))


def model_type_of(name: str) -> str | None:
    stem = _CLASS.sub("", name).lower()
    return _types().get(stem.replace("_", "")) if stem and stem != name.lower() else None


def is_a_type(name: str) -> bool:
    """Whether transformers calls a model type so."""
    return name in load_support().model_types


def is_a_class(name: str) -> bool:
    """Whether a name is that of a model's class: a model type, and the task."""
    return _TASK.search(name) is not None and of_a_class(name) is not None


def of_a_class(name: str) -> str | None:
    """The model type of a class of a model, or of one of its parts: `GPT2LMHeadModel`, `GPT2Block`."""
    lowered = name.lower()
    fits = [stem for stem in _types() if lowered.startswith(stem) and name[len(stem) :][:1].isupper()]
    return _types()[max(fits, key=len)] if fits else None


def type_of_part(name: str) -> str | None:
    """The model type whose name a class of a part begins with: `GptOssExperts`, `Gemma3ModelOutputWithPast`."""
    if _PART.search(name) is None:
        return None
    lowered = name.lower()
    fits = [stem for stem in _types() if len(stem) > 3 and lowered.startswith(stem) and name[len(stem) :][:1].isupper()]
    return _types()[max(fits, key=len)] if fits else None


@cache
def _types() -> dict[str, str]:
    return {one.replace("_", "").replace("-", "").lower(): one for one in load_support().model_types}


def has_parts(model_type: str) -> bool:
    """Whether a model is made of several, with a config for each: then the whole one has not what its text part has."""
    types = load_support().model_types
    return _OF_PARTS.search(model_type) is not None or any(
        one in types for one in (f"{model_type}_text", f"{model_type}_vision", f"{model_type}_vision_model")
    )
