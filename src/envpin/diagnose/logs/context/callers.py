"""Errors that only their frames explain: whose code called what it did not find there. Pure.

A name, a member or an argument that is not there is a mistake of the script, unless a library of the stack made the
call: then that library and what it calls are most likely of different releases, whichever two they are. No facts about
releases are asked, so the words say no more than that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.logs.context.companions import explain_companion
from envpin.diagnose.logs.context.library_changes import explain_change
from envpin.diagnose.logs.context.missing_names import (
    explain_missing_name,
    of_a_file,
    of_an_optional_import,
    of_another_package,
    of_another_sklearn,
)
from envpin.diagnose.logs.context.other_loaders import of_its_own_inputs
from envpin.diagnose.logs.context.partners import of_columns, of_partner, of_what_it_was_given
from envpin.diagnose.logs.context.unsloths import of_unsloth
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.facts.names import knows
from envpin.diagnose.logs.facts.releases import release_words
from envpin.diagnose.logs.facts.roles import SERVERS
from envpin.diagnose.logs.facts.symbols import in_words, owner_of, used_in_scripts
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import code_lines, frames_of, is_own, known_libraries, of_the_stack, shown_name

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_BUILTIN = (
    "NoneType|str|list|dict|int|float|tuple|bool|bytes|set|function|method|generator|module|type|Tensor|Parameter|"
    "ndarray|property|builtin_function_or_method|Namespace|DictConfig|DataFrame|Series|Response|Dataset|DatasetDict"
)
_FORMS = (
    re.compile(r"TypeError: (?P<what>[\w.<>]+\(\)) got an unexpected keyword argument '(?P<name>\w+)'"),
    re.compile(r"TypeError: (?P<what>[\w.<>]+\(\)) missing \d+ required positional arguments?: (?P<name>.{1,80})"),
    re.compile(
        r"TypeError: (?P<what>[\w.<>]+\(\)) takes (?:from )?(?P<name>[\w ]{1,20}) positional arguments? but \d+"
    ),
    re.compile(r"TypeError: (?P<what>[\w.<>]+\(\)) got multiple values for (?:keyword )?argument '(?P<name>\w+)'"),
    re.compile(
        rf"AttributeError: '?(?P<what>(?!(?:{_BUILTIN})\b)[A-Za-z_]\w*)'?(?: object)? has no attribute "
        r"[`'](?P<name>\w+)"
    ),
    re.compile(r"AttributeError: (?P<name>_\w+)(?P<what>)\s*$"),
    re.compile(r"ValueError: (?P<what>not enough|too many) values to unpack (?P<name>\(expected [^)]*\))"),
    re.compile(r"NameError: name '(?P<name>\w+)' is not defined(?P<what>)\s*$"),
    re.compile(r"AttributeError: type object '(?P<what>\w+)' has no attribute '(?P<name>\w+)'"),
    re.compile(r"AttributeError: module '(?P<what>[\w.]+)' has no attribute '(?P<name>\w+)'"),
    re.compile(
        r"ImportError: cannot import name '(?P<name>\w+)' from (?:partially initialized module )?'(?P<what>[\w.]+)'"
    ),
)
_TOKENS = re.compile(r"(?:TypeError|OverflowError): argument '(ids|tokens|input|text|sequence|sequences)': (.{1,120})")
_OF_TRANSFORMERS = re.compile(
    r"(?:For[A-Z]\w*|PreTrainedModel|\wModel|Config|Tokenizer(?:Fast)?|Processor(?:Fast)?|Cache|Attention|DecoderLayer|"
    r"RotaryEmbedding|TrainingArguments|^Trainer|Mixin)$|^transformers\b|prepare_inputs_for_generation|_update_causal_mask"
)
_OF_DIFFUSERS = re.compile(r"UNet|[23]DModel$|ControlNet|ConditionModel$|^Autoencoder|Pipeline$|Scheduler$")
# Parts of names that no other field has, and the library whose releases they speak of first.
_BY_WORDS = (
    ("vllm", re.compile(r"(?i)vllm")),
    ("sglang", re.compile(r"(?i)sglang")),
    ("unsloth", re.compile(r"(?i)unsloth")),
    ("peft", re.compile(r"LoRA|Lora(?=[A-Z.]|$)|QLora|(?i:peft|_lora\b|\blora_|dora\b)")),
    ("deepspeed", re.compile(r"(?i)deepspeed|zero3")),
    ("sentence-transformers", re.compile(r"SentenceTransformer|CrossEncoder")),
    ("diffusers", re.compile(r"(?:Flux|StableDiffusion|QwenImage|ZImage|Wan)\w*(?:Pipeline|Transformer)")),
    ("transformers", re.compile(
        r"(?i)qwen|llama(?!index)|llava|gemma|mistral|internvl|minicpm|deepseek|chatglm|whisper(?=\w)|"
        r"rotary_?emb|(?-i:DecoderLayer|FlashAttention2|CausalLM|ConditionalGeneration|TokenizerFast|ImageProcessor)"
    )),
)  # fmt: skip
# Whose `__getattr__` passes on nothing of a model.
_OF_ITS_OWN = known_libraries() - {"peft", "transformers", "accelerate", "transformers_modules"}
_PRIVATE = re.compile(r"has no attribute '_[a-z]\w*'")
# Names that one library alone has.
_LONG_NAME = re.compile(r"[a-z]+(?:_[a-z]+){2,}\(\)")
_CONSTANT = re.compile(r"[A-Z]+(?:_[A-Z]+){2,}")
_OF_UNSLOTH = re.compile(r"^(?:\w+ForCausalLM|\w+Model|\w+Attention|\w+DecoderLayer)_fast_forward|^[Uu]nsloth_\w")
_SHORT = {"pa": "pyarrow", "pc": "pyarrow", "pq": "pyarrow", "pd": "pandas", "np": "numpy", "bnb": "bitsandbytes",
          "fsspec": "fsspec", "torch": "torch", "F": "torch"}  # fmt: skip

# Classes of settings, which scripts derive their own from.
_SETTINGS = re.compile(r"(?:Config|Arguments|Args)$")

# Whose classes a library's own file for another package calls.
_WORKS_WITH = re.compile(r"[/\\_](vllm|sglang)(?:_rollout|_utils|_engine|_client|_worker)?[/\\_.]")
_UNBOUND = re.compile(r"UnboundLocalError: (?:cannot access )?local variable '(\w+)' (?:where it is not|referenced)")

# A member that an enumeration lacks: the error says its name alone.
_MEMBER = re.compile(r"AttributeError: (?P<name>[A-Z][A-Z_0-9]*)\s*$")
# A line of code that takes the dimensions of a tensor apart.
# Between a script and a model these pass on what they are given; another library makes its own inputs.
_PASSES_ON = frozenset({"transformers", "torch", "accelerate", "peft", "trl"})
_TAKES_APART = re.compile(r"=\s*[\w.\[\]]{1,80}\.(?:shape|size\(\))(?:\[[^\]]{0,10}\])?\s*$")


def explain_frame(line: str, before: str) -> Explained | None:
    """What a line says together with the lines before it; None where no library of the stack made the call and what
    failed is none of theirs."""
    found = next((one for form in _FORMS if (one := form.search(line)) is not None), None)
    every = frames_of(before)
    # a function of the script that a library called: what it calls is its own matter
    frames = [] if every and is_own(every[-1]) else of_the_stack(every)
    if not frames and every and every[-1].library in _OF_ITS_OWN and _PRIVATE.search(line) is not None:
        frames = every[-1:]  # its own `__getattr__` misses what it set itself, or did not
    told = explain_companion(line, before) or of_another_sklearn(line, before) or explain_change(line, before)
    if told is None and frames and (unbound := _UNBOUND.search(line)) is not None:
        told = of_an_optional_import(unbound[1], shown_name(str(frames[-1].library)), frames[-1].path, named=True)
    if told is None and frames and "NameError: " in line and found is not None:
        told = of_an_optional_import(found["name"], shown_name(str(frames[-1].library)), frames[-1].path)
    if told is not None or found is None:
        return told or explain_missing_name(line, before) or _of_tokens(line) or _of_a_member(line, before)
    what, name = found["what"], found["name"]
    owner = what.partition(".")[0].removesuffix("()")
    defined_by = owner_of(owner)
    if defined_by == "peft" and "Model" in owner and "has no attribute" in found[0]:
        return None  # it passes on what its model does not have, whoever asks
    if frames:
        own = defined_by is not None and shown_name(str(frames[-1].library)) == defined_by
        told = of_a_file(line, frames[-1], str(defined_by)) if own else None
        return told or _of_short_name(frames, what, name, before) or _of_caller(frames, found[0], what, name, before)
    if (told := explain_missing_name(line, before)) is not None or (defined_by is None and frames_of(before)):
        return told or of_another_package(line, before)
    if defined_by is None:
        return _of_words(found[0], what, name, before)
    return _of_symbol(defined_by, owner, name, before) if used_in_scripts(defined_by, owner) else None


def _of_tokens(line: str) -> Explained | None:
    """What the tokenizers' own code, which is no Python, refuses."""
    found = _TOKENS.search(line)
    if found is None:
        return None
    says = f"a tokenizer was given something else as `{found[1]}` than whole numbers or text in a flat list: {found[2]}"
    steps = (
        "look at what is given: type(x), x[0]; of predictions take the argmax first, and put no -100 among them",
        "of a Seq2SeqTrainer: predict_with_generate=True, without which predictions are logits",
    )
    return Explained("inputs-do-not-fit", says, steps)


def _of_a_member(line: str, before: str) -> Explained | None:
    """A member of an enumeration that a release of its package has and this one has not."""
    found = _MEMBER.search(line)
    if found is None:
        return None
    uses = re.search(rf"\b([A-Z]\w+)\.{found['name']}\b", "\n".join(code_lines(before)))
    package = None if uses is None else owner_of(uses[1])
    released = None if package is None else release_words(package, before)
    if uses is None or package is None or released is None:
        return None
    says = (
        f"`{uses[1]}` of the installed {package} has no `{found['name']}`: other releases have it, if any; {released}"
    )
    return Explained("library-api-changed", says, _steps(package))


def _of_dimensions(frames: list[Frame], said: str, expected: str, before: str) -> Explained | None:
    """A tensor with more or fewer dimensions than the model takes apart."""
    lines, of_a_model = code_lines(before), re.match(r"models[/\\]", frames[-1].path)
    if of_a_model is None or not lines or _TAKES_APART.search(lines[-1]) is None:
        return None
    if {str(one.library) for one in frames} - _PASSES_ON:
        return None
    other = "more" if "too many" in said else "fewer"
    says = f"`{lines[-1].strip()}` in `{frames[-1].path}` takes an input apart that has {other} dimensions {expected}"
    return Explained("inputs-do-not-fit", says, (
        "print the shapes that the model is given: {name: tensor.shape for name, tensor in batch.items()}",
        "of one example a processor makes a batch of one: take its first row before the rows are put together",
    ))  # fmt: skip


def _of_caller(frames: list[Frame], said: str, what: str, name: str, before: str) -> Explained | None:
    """What is said where the deepest of these frames made a call that `what` does not take, with `name`."""
    owner = what.partition(".")[0].removesuffix("()")
    defined, caller = owner_of(owner), str(frames[-1].library)
    known = of_partner(caller, frames[-1].path, f"`{name}`", before) if defined != "transformers" else None
    if "values to unpack" in said:
        if (shaped := _of_dimensions(frames, said, name, before)) is not None:
            return shaped
        known = of_columns(caller, frames[-1].path, name) or known
    if caller == "transformers":
        known = known or of_what_it_was_given(what, name, said, before)
    package = shown_name(caller)
    if defined in (None, package) and in_words(owner, name) is None:
        known = known or _of_settings(package, owner, name, before)
        known = (
            known
            or of_its_own_inputs(said, what, name, frames[-1].path)
            or of_unsloth(frames, said, what, name, before)
        )
    if known is not None:
        return known
    if defined is not None and (defined != package or in_words(owner, name) is not None):
        return _of_symbol(defined, owner, name, before)
    released = release_words(package, before)
    users = [shown_name(str(one.library)) for one in frames[:-1] if one.library != caller]
    if released is not None and defined == package and package in SERVERS and users:
        says = f"{users[-1]} uses {package} otherwise than this release of it works (`{what}`, `{name}`)"
        return Explained("library-api-changed", f"{says}; {released}", _steps(users[-1]))
    if released is None or defined == package or "NameError" in said:
        # its own class or name, or no release of it is known: then no version is blamed
        return Explained("library-fault", _fault(caller, what or name, name, released), _steps(package))
    meets = _WORKS_WITH.search(f"{frames[-1].path} {before[-600:]}") if defined is None else None
    of = f" of {meets[1]}" if meets is not None and meets[1] != package else ""
    says = f"{caller} and `{what or name}`{of}, which it uses with `{name}`, are most likely of different releases"
    if not what or " " in what:
        says = f"{caller} stopped in its own code (`{name}`), most likely as it and what it builds on do not fit"
    code = "transformers-api-changed" if _blames_transformers(owner, caller) else "library-api-changed"
    if caller == "peft" and owner and knows("transformers", owner):
        code = "peft-transformers-incompatible"
    return Explained(code, f"{says}; {released}", _steps(package))


def _of_settings(package: str, owner: str, name: str, before: str) -> Explained | None:
    """A field that a library reads of the object of settings that it was given, and that this object does not have."""
    lines = code_lines(before)
    if _SETTINGS.search(owner) is None or not lines or re.search(rf"\bargs\.{re.escape(name)}\b", lines[-1]) is None:
        return None
    code = "transformers-api-changed" if package == "transformers" else "library-api-changed"
    says = (
        f"this {package} reads `{name}` of the settings that it is given, and the `{owner}` of the script has no such "
        f"field: it is a class of the script's own, or of another library, of the time of another {package}"
    )
    released = release_words(package, before)
    return Explained(code, f"{says}; {released}" if released else says, (
        f"run with the {package} for which the script was written: envpin run ADAPTER -- CMD",
        f"or make the settings by {package}'s own class, or derive the script's class from that",
    ))  # fmt: skip


def _of_short_name(frames: list[Frame], what: str, name: str, before: str) -> Explained | None:
    """What is said where the last line of code calls a function by the short name that its library goes by."""
    lines = code_lines(before)
    found = re.search(rf"\b(\w+)\.{re.escape(what.removesuffix('()'))}\(", lines[-1]) if lines and what else None
    called, caller = _SHORT.get(found[1]) if found is not None else None, str(frames[-1].library)
    if called is None or called == caller:
        return None
    says = f"{caller} calls `{called}.{what}` with `{name}`, which the {called} that is installed does not take"
    return Explained("library-api-changed", f"{says}: they are of two times", _steps(shown_name(caller), called))


def _of_words(said: str, what: str, name: str, before: str) -> Explained | None:
    """A call whose traceback the log does not show, of something that by the parts of its name is of this field."""
    if said.startswith("NameError: "):
        return _of_written_code(name, before)
    if not said.startswith("TypeError: "):
        return None
    package = next((one for one, words in _BY_WORDS if words.search(what)), None)
    if package is None and _LONG_NAME.fullmatch(what) is not None and knows("transformers", what.removesuffix("()")):
        package = "transformers"
    released = None if package is None else release_words(package, before)
    if released is None:
        return None
    says = f"`{what}` and what calls it with `{name}` are most likely of different releases"
    code = "transformers-api-changed" if package == "transformers" else "library-api-changed"
    return Explained(code, f"{says}; {released}", _steps(str(package)))


def _of_written_code(name: str, before: str) -> Explained | None:
    """A name of peft's own code, or one that Unsloth makes, which code that Unsloth wrote does not have."""
    made = _OF_UNSLOTH.search(name) is not None
    if not made and not (_CONSTANT.fullmatch(name) is not None and knows("peft", name)):
        return None
    says = (
        f"`{name}` is {'a function that Unsloth makes' if made else 'a name of the code of peft'}, and the code that "
        "asks for it does not have it: Unsloth writes such code into unsloth_compiled_cache, for the peft and "
        "transformers that it finds"
    )
    released = release_words("unsloth", before)
    return Explained("library-fault" if made else "library-api-changed", f"{says}; {released}", (
        "delete the folder `unsloth_compiled_cache`", *_steps("unsloth", "unsloth_zoo"),
    ))  # fmt: skip


def _of_symbol(package: str, owner: str, name: str, before: str) -> Explained | None:
    """What is known of a class or function that another package, or a script, uses otherwise than it is."""
    told = in_words(owner, name)
    if told is None and (released := release_words(package, before)) is not None:
        plain = name.strip("'\"")
        told = f"`{owner}` is of {package}, and takes or has `{plain}` in other releases only, if in any; {released}"
    return None if told is None else Explained("library-api-changed", told, _steps(package))


def _fault(caller: str, what: str, name: str, released: str | None) -> str:
    says = f"{caller} stopped at a call in its own code that does not fit what it calls (`{what}`, `{name}`)"
    return f"{says}; {released}" if released else says


def _steps(*packages: str) -> tuple[str, ...]:
    newest = command_text("python", "-m", "pip", "install", "-U", *packages)
    return (f"install the release of each that the other one asks for: python -m pip check, {newest}", TRAINING)


def _blames_transformers(owner: str, caller: str) -> bool:
    if caller == "diffusers" and _OF_DIFFUSERS.search(owner) is not None:
        return False
    return caller == "transformers" or (is_of_transformers(owner) and not owner.startswith("Unsloth"))


def is_of_transformers(name: str) -> bool:
    """Whether a class is called as those of transformers are."""
    return _OF_TRANSFORMERS.search(name) is not None
