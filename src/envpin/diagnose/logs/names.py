"""Names that came with a release or went with one: which version a missing name, member or model type speaks of. Pure.

`names.json` was read from the wheels by `scripts/collect_names.py`: the last patch of each minor series, so that a
release is named by its series. Model types are those of `matrix collect`, with the exact release.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from envpin.diagnose.logs.arguments import Explained
from envpin.diagnose.logs.collected import read_collected
from envpin.matrix.support import load_support

if TYPE_CHECKING:
    from collections.abc import Callable

MEMBER_ANCHORS = (
    "' has no attribute '", "object has no attribute '", " has no attribute ", "got an unexpected keyword argument",
    "is not defined. Did you mean", "cannot import name '", "No module named '",
)  # fmt: skip
# Codes that blame a version: their words name it, where the facts hold it.
VERSIONED = frozenset({
    "config-needs-newer-transformers", "config-needs-older-transformers", "transformers-api-changed",
    "library-api-changed", "peft-transformers-incompatible", "tokenizer-needs-newer",
})  # fmt: skip
_IMPORT = re.compile(r"cannot import name '(\w{1,120})' from '?(\w+(?:\.\w+)*)")
_BARE_IMPORT = re.compile(r"cannot import name '(\w{1,120})'\s*$")
_MODULE_ATTRIBUTE = re.compile(r"module '(\w+(?:\.\w+)*)' has no attribute '(\w{1,120})'")
# As transformers 5 says it: without quotes.
_UNQUOTED = re.compile(r"AttributeError: ([A-Z]\w{1,120}) has no attribute (\w{1,120})")
_MEMBER = re.compile(r"(?:'(?=\w+' object)|type object ')(\w{1,120})'(?: object)? has no attribute '(\w{1,120})'")
_MISSING = re.compile(r"(?:'|\b)([A-Z]\w{1,120})'?(?: object)? has no attribute ['`](\w{1,120})['`]")
# What follows a model type's name in the classes of its parts.
_PART = re.compile(
    r"(?:[A-Z]\w*)?(?:Experts|Attention|MLP|DecoderLayer|EncoderLayer|Router|Block|Output\w*|Embeddings?|Cache)$"
)
_CALL = re.compile(r"\b(\w+)\.(\w+)\(\) got an unexpected keyword argument '(\w{1,80})'")
_RENAMED = re.compile(r"name '(\w{1,120})' is not defined\. Did you mean: '(\w{1,120})'")
_TYPE = re.compile(r"has model type `?([\w.-]{1,80})`? but Transformers|KeyError: '([\w.-]{1,80})'")
_QUANTIZER = re.compile(r"Unknown quantization type, got ([\w-]{1,60})")
_TOKENIZER_CLASS = re.compile(r"Tokenizer class (\w{1,120}) does not exist")
_USED = re.compile(
    r"'(?:<class '[\w.]{1,200}\.(\w+)'>|([\w.-]{1,80}))' is already used by a Transformers (?:config|model)"
)
_MODULE = re.compile(r"No module named '((\w+)\.[\w.]{1,120})'\s*$")
# The releases that were looked at are of later interpreters, but for a few, and have a folder for each model.
_OLD = re.compile(
    r"(?i)python3?\.?[67]\b|python3[67]|'transformers\.(?:modeling|tokenization|configuration)_(?!utils|auto|attn|flash|"
    r"outputs|layers|rope|tf|gguf)"
)
# Where other modules of the same name went, by what took their place.
_MOVED = {"peft.utils.config": "peft.config"}
_MODEL_MODULE = re.compile(r"No module named '?transformers\.models\.(\w{1,80})")
_CLASS = re.compile(
    r"(?:For[A-Z]\w*|Model|PreTrainedModel|TextConfig|VisionConfig|Config|Processor|ImageProcessor|ImageProcessorFast|"
    r"VideoProcessor|TokenizerFast|Tokenizer)$"
)
# Classes as single models have them, which were not collected where they are a model's own.
_OF_A_MODEL = re.compile(r"(?:ForCausalLM|Model|Config|Tokenizer|TokenizerFast|Processor|ForConditionalGeneration)$")
_PACKAGES = {"transformers", "trl", "accelerate", "peft", "huggingface_hub", "datasets"}
# Whose members a class of someone's own inherits, by the end of its name.
_KINDS = (
    (re.compile(r"For[A-Z]\w+$|PreTrainedModel$"), "PreTrainedModel"),
    (re.compile(r"TokenizerFast$"), "PreTrainedTokenizerFast"),
    (re.compile(r"Tokenizer$"), "PreTrainedTokenizer"),
    (re.compile(r"(?:Dynamic|Static|Hybrid|Sliding|Quantized|Offloaded|EncoderDecoder)\w*Cache$"), "Cache"),
    (re.compile(r"Config$"), "PretrainedConfig"),
)
_PUT_ON = re.compile(r"lora|adapter|merge|unload|peft|for_(?:inference|training)|fast_|trainable|quantiz|push_to_hub")
_CODES = {"transformers": "transformers-api-changed"}
_TRAINING = "run with the versions of the training run: envpin run ADAPTER -- CMD"


class _Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One package. `releases`: first series, last release, how many; the tables hold where a name came and went."""

    releases: tuple[str, str, int]
    always: frozenset[str]
    names: dict[str, dict[str, tuple[str, ...]]]
    members: dict[str, dict[str, tuple[str, ...]]]
    arguments: dict[str, dict[str, tuple[str, ...]]]


class Words(NamedTuple):
    """What a finding says of releases, instead of its catalogue's words. `went`: a release took it away."""

    says: str
    fix: tuple[str, ...]
    went: bool = False


# Every release has the name: what failed is the import itself (a damaged or shadowed package), no version.
NOT_A_RELEASE = Words("", ())
# Classes by the look of their names models', which the collector leaves out.
_ALWAYS = frozenset({"GenerationConfig", "PreTrainedModel", "PretrainedConfig", "BertTokenizer", "BertModel",
                     "GPT2Tokenizer", "T5Tokenizer", "CLIPTextModel", "CLIPTokenizer", "LlamaTokenizer"})  # fmt: skip


def words(code: str, line: str) -> Words | None:
    """What the facts say of the release that a line of this code speaks of; None where they hold nothing of it."""
    if code not in VERSIONED:
        return None
    if (told := _of_names(code, line)) is not None:
        return told
    if (member := _of_member(line)) is not None:
        return Words(member.says, member.fix)
    return next((tell(found) for pattern, tell in _TELLS if (found := pattern.search(line)) is not None), None)


def _older(module: str, name: str) -> Words:
    package = module.partition(".")[0]
    first = _facts()[package].releases[0]
    says = f"every release of {package} from {first} on has `{name}`: this one is older, or damaged"
    return Words(says, (f"install {package} again, into the interpreter that ran", _TRAINING), went=True)


def explain_name(line: str) -> Explained | None:
    """A cause that the facts alone tell: a member, an argument, a module, or a name that a release took or gave."""
    line = _UNQUOTED.sub(r"AttributeError: '\1' object has no attribute '\2'", line)
    return (
        _of_member(line) or _of_call(line) or _of_rename(line) or _of_module(line) or _of_any_import(line)
        or _of_bare(line) or _of_model_class(line)
    )  # fmt: skip


def _of_names(code: str, line: str) -> Words | None:
    for pattern, swap in ((_IMPORT, False), (_MODULE_ATTRIBUTE, True)):
        if (found := pattern.search(line)) is not None:
            module, name = (found[1], found[2]) if swap else (found[2], found[1])
            told = _of_import(module, name)
            return _older(module, name) if told is NOT_A_RELEASE and _OLD.search(line) else told
    if code == "transformers-api-changed" and (found := _BARE_IMPORT.search(line)) is not None:
        return _of_import("transformers", found[1])
    return None


def _of_import(module: str, name: str) -> Words | None:
    package = module.partition(".")[0]
    if package not in _PACKAGES:
        return None
    names = _facts()[package].names
    stays = names.get(module, {}).get(name) or names.get(package, {}).get(name)
    if stays is not None:
        return _said(f"`{name}` of `{module}`", package, stays)
    if name in _facts()[package].always or name in _ALWAYS:
        return NOT_A_RELEASE
    if package == "transformers" and (kind := model_type_of(name)) is not None:
        return _of_type(kind)
    if module != package or (package == "transformers" and _OF_A_MODEL.search(name) is not None):
        # what every release has below the top was not kept, nor what single models have
        return None
    first, last, _ = _facts()[package].releases
    says = f"`{name}` is not in `{module}` in any release of {package} that was looked at ({first} to {last})"
    return Words(says, (_TRAINING, f"look where {package} defines `{name}`, and import it from there"))


def _of_any_import(line: str) -> Explained | None:
    """A name that code wants of one of the packages, whatever signature knows its line."""
    found = _IMPORT.search(line)
    package = "" if found is None else found[2].partition(".")[0]
    told = None if found is None else _of_import(found[2], found[1])
    if told is None or told is NOT_A_RELEASE:
        return None
    return Explained(_CODES.get(package, "library-api-changed"), told.says, told.fix)


def _of_member(line: str) -> Explained | None:
    found = _MEMBER.search(line)
    if found is None:
        return None
    owner, name = found[1], found[2]
    for package in ("transformers", "accelerate"):
        members = _facts()[package].members
        kinds = [owner, *(_kinds(owner) if package == "transformers" else ())]
        stays = next((members[kind][name] for kind in kinds if name in members.get(kind, {})), None)
        if stays is not None:
            return _explained(f"`{name}` of `{owner}`", package, stays)
    return None


def _of_model_class(line: str) -> Explained | None:
    """A member that is missing from a class of transformers, and that the facts do not hold: its attributes moved from
    release to release. What peft, Unsloth and the like put onto a model is no member of it."""
    found = _MISSING.search(line)
    if found is None or _PUT_ON.search(found[2]) is not None:
        return None
    model_type = model_type_of(found[1]) or _type_of_part(found[1])
    window = None if model_type is None else load_support().window(model_type)
    if window is None:
        return None
    says = (
        f"`{found[1]}` has no `{found[2]}` in the transformers that ran: where such members lie moved between releases "
        f"since `{model_type}` came with {window[0]}"
    )
    return Explained("transformers-api-changed", says, (_TRAINING, "take code and transformers of one time"))


def _kinds(owner: str) -> list[str]:
    """The classes of transformers that a class inherits by its name; a config or tokenizer has to name a model type."""
    kinds = [kind for pattern, kind in _KINDS if pattern.search(owner)]
    return kinds if kinds in (["PreTrainedModel"], ["Cache"]) or model_type_of(owner) is not None else []


def _of_call(line: str) -> Explained | None:
    found = _CALL.search(line)
    if found is None:
        return None
    for package in ("accelerate", "transformers"):
        stays = _facts()[package].arguments.get(f"{found[1]}.{found[2]}", {}).get(found[3])
        if stays is not None:
            return _explained(f"the argument `{found[3]}` of `{found[1]}.{found[2]}`", package, stays)
    return None


def _of_rename(line: str) -> Explained | None:
    """Python names what it knows instead: both are names of transformers, and one of them came when the other went."""
    found = _RENAMED.search(line)
    if found is None:
        return None
    top = [table for module, table in _facts()["transformers"].names.items() if module.count(".") <= 1]
    came = next((table[found[1]] for table in top if found[1] in table), None)
    if came is None or not any(found[2] in table for table in top):
        return None
    return _explained(f"`{found[1]}`", "transformers", came)


def _of_module(line: str) -> Explained | None:
    """A module, or an attribute of one, that the facts hold."""
    if (found := _MODULE_ATTRIBUTE.search(line)) is not None:
        package = found[1].partition(".")[0]
        stays = _facts()[package].names.get(found[1], {}).get(found[2]) if package in _PACKAGES else None
        return None if stays is None else _explained(f"`{found[2]}` of `{found[1]}`", package, stays)
    found = _MODULE.search(line)
    if found is None or found[2] not in _PACKAGES:
        return None
    names = _facts()[found[2]].names
    if (later := names.get(_MOVED.get(found[1], ""))) is not None:
        came = min((one[0] for one in later.values() if one[0]), key=_series, default="")
        return _explained(f"`{found[1]}`", found[2], ("", came)) if came else None
    every = list(names.get(found[1], {}).values())
    if not every or any(len(one) % 2 for one in every):
        return None
    return _explained(f"`{found[1]}`", found[2], ("", max((one[-1] for one in every), key=_series)))


def _of_bare(line: str) -> Explained | None:
    """A name without its module: the facts hold it for one package, with one history."""
    found = _BARE_IMPORT.search(line)
    if found is None or len(found[1]) < 12:
        return None
    told = {
        (package, table[found[1]]) for package in _PACKAGES for table in _facts()[package].names.values()
        if found[1] in table
    }  # fmt: skip
    return None if len(told) != 1 else _explained(f"`{found[1]}`", *next(iter(told)))


def _explained(what: str, package: str, stays: tuple[str, ...]) -> Explained:
    told = _said(what, package, stays)
    return Explained(_CODES.get(package, "library-api-changed"), told.says, told.fix)


def knows(package: str, name: str) -> bool:
    """Whether some release of a package has a public name."""
    facts = _facts()[package]
    return name in facts.always or any(name in names for names in facts.names.values())


def _series(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".") if part.isdigit())


def _said(what: str, package: str, stays: tuple[str, ...]) -> Words:
    """`stays` are where a name came and went by turns; "" is before the first release that was looked at."""
    came, gone = stays[-1 if len(stays) % 2 else -2], "" if len(stays) % 2 else stays[-1]
    earlier = stays[-2] if len(stays) % 2 and len(stays) > 1 else ""
    shown = package.replace("_", "-")
    if earlier:
        says = f"{what} went with {shown} {earlier} and came again with {came}"
        return Words(says, (f"run with {shown} < {earlier}, as training did: envpin run ADAPTER -- CMD",
                            f"with {shown} ≥ {came}"), went=True)  # fmt: skip
    if gone and came:
        says = f"{what} came with {shown} {came} and went with {gone}"
        return Words(says, (f"run with {shown} ≥ {came} and < {gone}: envpin run ADAPTER -- CMD",
                            f"take newer code, where {shown} is {gone} or newer"), went=True)  # fmt: skip
    if gone:
        says = f"{what} went with {shown} {gone}: the code is of an older {shown}"
        return Words(says, (f"run with {shown} < {gone}, as training did: envpin run ADAPTER -- CMD",
                            "take newer code, which does without"), went=True)  # fmt: skip
    says = f"{what} came with {shown} {came}: this {shown} is older"
    return Words(says, (f"run with {shown} ≥ {came}",))


def _of_quantizer(method: str) -> Words | None:
    """A way of quantization by the name that config.json gives it."""
    stays = _facts()["transformers"].names.get("quantization methods", {}).get(method)
    if stays is not None:
        return _said(f"quantization by `{method}`", "transformers", stays)
    first, last, _ = _facts()["transformers"].releases
    says = f"no release of transformers that was looked at ({first} to {last}) knows quantization by `{method}`"
    return Words(says, ("load it with the tool that quantized it", _TRAINING))


def _of_used(model_type: str) -> Words | None:
    """Code registers a model type of its own, and a release of transformers brought that type."""
    window = load_support().window(model_type)
    if window is None:
        return None
    says = f"transformers brings `{model_type}` itself from {window[0]} on, and this code registers its own"
    return Words(says, (f"run with transformers < {window[0]}, as the code was written for",
                        "take a newer release of the package that registers it"))  # fmt: skip


def _of_type(model_type: str) -> Words | None:
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


def _of_tokenizer(name: str) -> Words | None:
    """A class that tokenizer_config.json names."""
    told = _of_import("transformers", name)
    if told is None or told is NOT_A_RELEASE or told.went or " came with " in told.says or " from " in told.says:
        return None if told is NOT_A_RELEASE else told
    return Words(told.says, ("pass `trust_remote_code=True`, if the model brings its own tokenizer, and you trust it",
                             "take the base's own tokenizer files, if no token was added"))  # fmt: skip


# Lines that the facts explain, where neither an import nor a member does.
_TELLS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Words | None]], ...] = (
    (_QUANTIZER, lambda found: _of_quantizer(found[1])),
    (_TOKENIZER_CLASS, lambda found: _of_tokenizer(found[1])),
    (_USED, lambda found: _of_used(found[2] or model_type_of(found[1]) or "")),
    (_TYPE, lambda found: _of_type(found[1] or found[2])),
    (_MODEL_MODULE, lambda found: _of_type(found[1])),
)


def model_type_of(name: str) -> str | None:
    stem = _CLASS.sub("", name).lower()
    return _types().get(stem.replace("_", "")) if stem and stem != name.lower() else None


def _type_of_part(name: str) -> str | None:
    """The model type whose name a class of a part begins with: `GptOssExperts`, `Gemma3ModelOutputWithPast`."""
    if _PART.search(name) is None:
        return None
    lowered = name.lower()
    fits = [stem for stem in _types() if len(stem) > 3 and lowered.startswith(stem) and name[len(stem) :][:1].isupper()]
    return _types()[max(fits, key=len)] if fits else None


@cache
def _types() -> dict[str, str]:
    return {one.replace("_", "").replace("-", "").lower(): one for one in load_support().model_types}


@cache
def _facts() -> dict[str, _Facts]:
    raw = read_collected("names.json", dict[str, msgspec.Raw], most=2_000_000)
    return {name: msgspec.json.decode(text, type=_Facts) for name, text in raw.items() if name in _PACKAGES}
