"""Names that came with a release or went with one: which version a missing name, member or model type speaks of. Pure.

`names.json` was read from the wheels by `scripts/collect_names.py`: the last patch of each minor series, so that a
release is named by its series. Model types are those of `matrix collect`, with the exact release.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.facts.model_types import MODELS_OWN, model_type_of, of_type, of_used, type_of_part
from envpin.diagnose.logs.facts.module_files import of_files
from envpin.diagnose.logs.facts.name_facts import (
    NEWER_CODE,
    NOT_A_RELEASE,
    OF_ONE_TIME,
    PACKAGES,
    SET_BY_TRAINER,
    TRAINING,
    Words,
    facts_of,
    said,
    series,
)  # fmt: skip
from envpin.diagnose.logs.facts.successors import otherwise_of
from envpin.diagnose.logs.text.explained import Explained
from envpin.matrix.support import load_support

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
# As Python says it, and without quotes as the lazy modules of transformers do.
_MODULE_ATTRIBUTE = re.compile(r"(?:module '?|^'(?=transformers\.))(\w+(?:\.\w+)*)'? has no attribute '?(\w{1,120})")
# As tokenizers of transformers say it: without quotes.
_UNQUOTED = re.compile(r"AttributeError: ([A-Z]\w{1,120}) has no attribute (\w{1,120})")
_MEMBER = re.compile(r"(?:'(?=\w+' object)|type object ')(\w{1,120})'(?: object)? has no attribute '(\w{1,120})'")
_MISSING = re.compile(r"(?:'|\b)([A-Z]\w{1,120})'?(?: object)? has no attribute ['`](\w{1,120})['`]")
_CALL = re.compile(r"\b(?:(\w+)\.)?(\w+)\(\) got an unexpected keyword argument '(\w{1,80})'")
_RENAMED = re.compile(r"name '(\w{1,120})' is not defined\. Did you mean: '(\w{1,120})'")
_TYPE = re.compile(r"has model type `?([\w.-]{1,80})`? but Transformers|KeyError: '([\w.-]{1,80})'")
_QUANTIZER = re.compile(r"Unknown quantization type, got ([\w-]{1,60})")
_TOKENIZER_CLASS = re.compile(r"Tokenizer class (\w{1,120}) does not exist")
_USED = re.compile(
    r"'(?:<class '[\w.]{1,200}\.(\w+)'>|([\w.-]{1,80}))' is already used by a Transformers (?:config|model)"
)
_MODULE = re.compile(r"No module named '?((\w+)\.[\w.]{1,120})'?\s*$")
# The releases that were looked at are of later interpreters, but for a few, and have a folder for each model.
_OLD = re.compile(
    r"(?i)python3?\.?[67]\b|python3[67]|'transformers\.(?:modeling|tokenization|configuration)_(?!utils|auto|attn|flash|"
    r"outputs|layers|rope|tf|gguf)"
)
# Where other modules of the same name went, by what took their place.
_MOVED = {"peft.utils.config": "peft.config"}
_MODEL_MODULE = re.compile(r"No module named '?transformers\.models\.(\w{1,80})")
_MODELS = re.compile(r"module '?transformers\.models'? has no attribute '?(\w{1,80})")
# Classes as single models have them, which were not collected where they are a model's own.
_OF_A_MODEL = re.compile(r"(?:ForCausalLM|Model|Config|Tokenizer|TokenizerFast|Processor|ForConditionalGeneration)$")
_OF_INPUTS = re.compile(r"(?:Tokenizer|FeatureExtractor)(?:Fast)?$")
# Of frameworks that transformers 5 left.
_OTHER_FRAMEWORK = re.compile(r"(?:TF|Flax)((?:Auto)?[A-Z]\w*(?:Model|For[A-Z]\w*))$")
# Whose members a class of someone's own inherits, by the end of its name.
_KINDS = (
    (re.compile(r"For[A-Z]\w+$|(?:PreTrained|LMHead|DoubleHeads)Model$"), "PreTrainedModel"),
    (re.compile(r"TokenizerFast$|^TokenizersBackend$"), "PreTrainedTokenizerFast"),
    (re.compile(r"Tokenizer$|^PythonBackend$"), "PreTrainedTokenizer"),
    (re.compile(r"(?:Dynamic|Static|Hybrid|Sliding|Quantized|Offloaded|EncoderDecoder)\w*Cache$"), "Cache"),
    (re.compile(r"Config$"), "PretrainedConfig"),
    (re.compile(r"Trainer$"), "Trainer"),
)
# What a config says of the language model alone.
_OF_TEXT = frozenset({
    "hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
    "max_position_embeddings", "head_dim", "rms_norm_eps",
})  # fmt: skip
_PUT_ON = re.compile(r"lora|adapter|merge|unload|peft|for_(?:inference|training)|fast_|trainable|quantiz|push_to_hub")
_CODES = {"transformers": "transformers-api-changed"}


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
    if (module := _of_module(line)) is not None:
        return Words(module.says, module.fix)
    if code == "library-api-changed":
        return None  # the others speak of models, which are transformers'
    return next((tell(found) for pattern, tell in _TELLS if (found := pattern.search(line)) is not None), None)


def plain_words(code: str, line: str) -> Words | None:
    """What a line itself says of a name of which the facts hold nothing."""
    if code not in VERSIONED:
        return None
    if (found := _IMPORT.search(line)) is not None:
        module, what = found[2], f"`{found[1]}` of `{found[2]}`"
    elif (found := _MODULE_ATTRIBUTE.search(line)) is not None:
        module, what = found[1], f"`{found[2]}` of `{found[1]}`"
    elif (found := _MODULE.search(line)) is not None:
        module, what = found[1], f"the module `{found[1]}`"
    else:
        return None
    package = module.partition(".")[0].replace("_", "-")
    says = f"code asks for {what}, which the {package} that ran does not have: it was written for another {package}"
    return Words(says, (f"run with the {package} of the training run: envpin run ADAPTER -- CMD", OF_ONE_TIME))


def _older(module: str, name: str) -> Words:
    package = module.partition(".")[0]
    first = facts_of(package).releases[0]
    says = f"every release of {package} from {first} on has `{name}`: this one is older, or damaged"
    return Words(says, (f"install {package} again, into the interpreter that ran", TRAINING), went=True)


def explain_name(line: str) -> Explained | None:
    """A cause that the facts alone tell: a member, an argument, a module, or a name that a release took or gave."""
    line = _UNQUOTED.sub(r"AttributeError: '\1' object has no attribute '\2'", line)
    return (
        _of_member(line) or _of_call(line) or _of_rename(line) or _of_module(line) or _of_any_import(line)
        or _of_bare(line) or _of_model_class(line) or _of_models(line)
    )  # fmt: skip


def _of_models(line: str) -> Explained | None:
    """The folder of a model type, which code asks `transformers.models` for."""
    found = _MODELS.search(line)
    told = None if found is None else of_type(found[1])
    return None if told is None else Explained("transformers-api-changed", told.says, told.fix)


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
    told = _of_known(module, name) or _of_no_release(module, name)
    other = otherwise_of(module.partition(".")[0], name) if told is not None and told.went else None
    return told if told is None or other is None else told._replace(fix=(other, *told.fix))


def _of_known(module: str, name: str) -> Words | None:
    """What is known of a name that some release has."""
    package = module.partition(".")[0]
    if package not in PACKAGES:
        return None
    if (stays := _history(module, name)) is not None:
        return said(f"`{name}` of `{module}`", package, stays)
    if name in facts_of(package).always or name in _ALWAYS:
        return NOT_A_RELEASE
    return _of_a_class(name) if package == "transformers" else None


def _of_no_release(module: str, name: str) -> Words | None:
    """Of a name that no release has, where that was looked at: what every release has below the top was not kept, nor
    what single models have."""
    if (
        module not in PACKAGES
        or not facts_of(module).always
        or (module == "transformers" and _OF_A_MODEL.search(name) and not name.startswith("AutoModel"))
    ):
        return None
    first, last, _ = facts_of(module).releases
    says = f"`{name}` is not in `{module}` in any release of {module} that was looked at ({first} to {last})"
    from difflib import get_close_matches

    like = get_close_matches(name, [*facts_of(module).always, *facts_of(module).names.get(module, {})], n=2, cutoff=0.8)
    spelt = f"see how it is spelt: {module} has {' and '.join(f'`{one}`' for one in like)}" if like else ""
    where = f"leave the import out where nothing uses it, or look where {module} defines `{name}`"
    return Words(says, (*filter(None, (spelt,)), where, TRAINING))


def _history(module: str, name: str) -> tuple[str, ...] | None:
    package = module.partition(".")[0]
    names = facts_of(package).names
    stays = _of_submodule(f"{module}.{name}") or names.get(module, {}).get(name) or names.get(package, {}).get(name)
    if stays is None and not (module == package and facts_of(package).always):
        # an `__init__` takes what its modules list: where one of them alone has the name, it is that one, unless the
        # package was a module once, which may have had the name itself
        new = {one for one, releases in facts_of(package).modules.items() if releases != ("",)}
        some = {
            table[name] for one, table in names.items()
            if name in table and one.startswith(f"{module}.") and one not in new
        }  # fmt: skip
        return next(iter(some)) if len(some) == 1 else None
    return stays


def _of_submodule(path: str) -> tuple[str, ...] | None:
    """Where a module went that a release took away: with the last of its names."""
    every = list(facts_of(path.partition(".")[0]).names.get(path, {}).values())
    if not every or any(len(one) % 2 for one in every):
        return None
    return ("", max((one[-1] for one in every), key=series))


def _of_a_class(name: str) -> Words | None:
    """A class of transformers by its name: of a framework that it left, or of a model type."""
    if (found := _OTHER_FRAMEWORK.match(name)) is not None:
        says = f"`{name}` went with transformers 5.0, which has no classes for TensorFlow or Flax"
        return Words(says, ("run with transformers < 5.0, as training did: envpin run ADAPTER -- CMD",
                            f"use `{found[1]}`, which is for torch"), went=True)  # fmt: skip
    kind = model_type_of(name)
    told = None if kind is None else of_type(kind)
    if told is not NOT_A_RELEASE or _OF_INPUTS.search(name) is None:
        return told
    says = f"this transformers has no `{name}`: 5.0 took away tokenizers and feature extractors that others replace"
    older = "run with transformers < 5.0, as training did: envpin run ADAPTER -- CMD"
    return Words(says, (older, NEWER_CODE), went=True)


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
    if name == "peft_config":
        return None  # peft sets it: no release puts it onto a model that was not wrapped
    for package in ("transformers", "accelerate"):
        members = facts_of(package).members
        kinds = [owner, *(_kinds(owner) if package == "transformers" else ())]
        kind = next((one for one in kinds if name in members.get(one, {})), None)
        stays = None if kind is None else members[kind][name]
        stays = SET_BY_TRAINER.get(name) if stays is None and owner.endswith("Trainer") else stays
        # what came to every config, one may have had by itself before
        if stays is not None and not (kind == "PretrainedConfig" and len(stays) % 2):
            return _explained(f"`{name}` of `{owner}`", package, stays)
    return None


def _of_model_class(line: str) -> Explained | None:
    """A member that is missing from a class of transformers, and that the facts do not hold: its attributes moved from
    release to release. What peft, Unsloth and the like put onto a model is no member of it."""
    found = _MISSING.search(line)
    if found is None or _PUT_ON.search(found[2]) or (found[1].endswith("Config") and found[2] in MODELS_OWN):
        return None
    model_type = model_type_of(found[1]) or type_of_part(found[1])
    window = None if model_type is None else load_support().window(model_type)
    if window is None:
        return None
    if found[2] in _OF_TEXT and re.search(r"(?<!Text)(?<!Vision)(?<!Audio)Config$", found[1]):
        says = (
            f"`{found[1]}` has no `{found[2]}` of its own in the transformers that ran: configs of models of several "
            "parts keep it in `text_config`, and the code that asks was written for text models, or for another release"
        )
        return Explained("transformers-api-changed", says, (
            "take a release of that code that knows such models, or ask `config.get_text_config()`", TRAINING,
        ))  # fmt: skip
    moved = f"where such members lie moved between releases since `{model_type}` came with {window[0]}"
    says = f"`{found[1]}` has no `{found[2]}` in the transformers that ran: {moved}"
    return Explained("transformers-api-changed", says, (TRAINING, OF_ONE_TIME))


def _kinds(owner: str) -> list[str]:
    """The classes of transformers that a class inherits by its name; a config or tokenizer has to name a model type."""
    kinds = [kind for pattern, kind in _KINDS if pattern.search(owner)]
    known = owner.endswith("Backend") or model_type_of(owner) is not None
    return kinds if kinds in (["PreTrainedModel"], ["Cache"], ["Trainer"]) or known else []


def _of_call(line: str) -> Explained | None:
    found = _CALL.search(line)
    if found is None:
        return None
    called = f"{found[1]}.{found[2]}" if found[1] else found[2]
    told = {
        (package, stays) for package in PACKAGES
        if (stays := arguments_of(package, called).get(found[3])) is not None
    }  # fmt: skip
    return None if len(told) != 1 else _explained(f"the argument `{found[3]}` of `{called}`", *next(iter(told)))


def _of_rename(line: str) -> Explained | None:
    """Python names what it knows instead: both are names of transformers, and one of them came when the other went."""
    found = _RENAMED.search(line)
    if found is None:
        return None
    top = [table for module, table in facts_of("transformers").names.items() if module.count(".") <= 1]
    came = next((table[found[1]] for table in top if found[1] in table), None)
    if came is None or not any(found[2] in table for table in top):
        return None
    return _explained(f"`{found[1]}`", "transformers", came)


def _of_module(line: str) -> Explained | None:
    """A module, or an attribute of one, that the facts hold."""
    if (found := _MODULE_ATTRIBUTE.search(line)) is not None:
        package = found[1].partition(".")[0]
        stays = facts_of(package).names.get(found[1], {}).get(found[2]) if package in PACKAGES else None
        return None if stays is None else _explained(f"`{found[2]}` of `{found[1]}`", package, stays)
    found = _MODULE.search(line)
    if found is None or found[2] not in PACKAGES:
        return None
    if (
        found[1] not in _MOVED
        and (told := of_files(found[2], found[1], _CODES.get(found[2], "library-api-changed"))) is not None
    ):
        return told
    names = facts_of(found[2]).names
    if (later := names.get(_MOVED.get(found[1], ""))) is not None:
        came = min((one[0] for one in later.values() if one[0]), key=series, default="")
        return _explained(f"`{found[1]}`", found[2], ("", came)) if came else None
    gone = _of_submodule(found[1])
    return None if gone is None else _explained(f"`{found[1]}`", found[2], gone)


def _of_bare(line: str) -> Explained | None:
    """A name without its module: the facts hold it for one package, with one history."""
    found = _BARE_IMPORT.search(line)
    if found is None or len(found[1]) < 12:
        return None
    told = {
        (package, table[found[1]]) for package in PACKAGES for table in facts_of(package).names.values()
        if found[1] in table
    }  # fmt: skip
    return None if len(told) != 1 else _explained(f"`{found[1]}`", *next(iter(told)))


def _explained(what: str, package: str, stays: tuple[str, ...]) -> Explained:
    told = said(what, package, stays)
    return Explained(_CODES.get(package, "library-api-changed"), told.says, told.fix)


def arguments_of(package: str, called: str) -> Mapping[str, tuple[str, ...]]:
    """The arguments of a function, or of a method as `Class.method`, that releases gave or took: where each came and
    went by turns."""
    return facts_of(package).arguments.get(called, {})


def knows(package: str, name: str) -> bool:
    """Whether some release of a package has a public name."""
    own = facts_of(package)
    return name in own.always or any(name in names for names in own.names.values())


def _of_quantizer(method: str) -> Words | None:
    """A way of quantization by the name that config.json gives it."""
    stays = facts_of("transformers").names.get("quantization methods", {}).get(method)
    if stays is not None:
        return said(f"quantization by `{method}`", "transformers", stays)
    first, last, _ = facts_of("transformers").releases
    says = f"no release of transformers that was looked at ({first} to {last}) knows quantization by `{method}`"
    return Words(says, ("load it with the tool that quantized it", TRAINING))


def _of_tokenizer(name: str) -> Words | None:
    """A class that tokenizer_config.json names."""
    known = _of_known("transformers", name)
    if known is not None:
        return None if known is NOT_A_RELEASE else known
    told = _of_no_release("transformers", name)
    fix = ("pass `trust_remote_code=True`, if the model brings its own tokenizer, and you trust it",
           "take the base's own tokenizer files, if no token was added")  # fmt: skip
    return None if told is None else Words(told.says, fix)


# Lines that the facts explain, where neither an import nor a member does.
_TELLS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Words | None]], ...] = (
    (_QUANTIZER, lambda found: _of_quantizer(found[1])),
    (_TOKENIZER_CLASS, lambda found: _of_tokenizer(found[1])),
    (_USED, lambda found: of_used(found[2] or model_type_of(found[1]) or "")),
    (_TYPE, lambda found: of_type(found[1] or found[2])),
    (_MODEL_MODULE, lambda found: of_type(found[1])),
)
