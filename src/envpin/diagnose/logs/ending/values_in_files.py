"""A library that stops, while it loads a folder, at a number, text or list where its code wants something else. Pure.

The value stands in a file that it read a moment before: adapter_config.json, tokenizer_config.json, config.json. With
NaN, null and objects this is mostly a file of another release, which is told elsewhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.diagnose.logs.text.explained import Explained

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_NUMBER = r"'(?:int|float|bool)'"
_ANY = r"'(?:int|float|bool|str|list|dict)'"
# Python's own words for a value of another type (Objects/abstract.c, Objects/object.c of CPython).
_WORDS = (
    r"{0} object (?:has no attribute|is not (?:iterable|subscriptable|callable|a mapping))|"
    r"argument of type {0} is not|attribute name must be string, not {0}|unhashable type: '(?:dict|list)'|"
    r"not supported between instances of (?:{0} and|\S+ and {0})|"
    r"unsupported operand type\(s\) for \S+ (?:{0} and|\S+ and {0})"
)
_OF_A_NUMBER = re.compile(_WORDS.format(_NUMBER))
_OF_ANY = re.compile(_WORDS.format(_ANY) + r"|must be tuple of ints, but found element of type (?:float|bool|str)")


class _Loader(NamedTuple):
    """A function that reads a file of a folder, by its module in the package; `words` are those of a value in it."""

    package: str
    path: re.Pattern[str]
    function: re.Pattern[str]
    file: str
    words: re.Pattern[str]


# peft's code computes with what adapter_config.json holds and little else; transformers' with much more.
_LOADERS = (
    _Loader("peft", re.compile(r"^(?:peft_model|auto|config)\.py$"), re.compile(r"from_pretrained|load_adapter"),
            "adapter_config.json", _OF_ANY),
    _Loader("transformers", re.compile(r"tokenization_\w+\.py$"), re.compile(r"_?from_pretrained"),
            "tokenizer_config.json", _OF_A_NUMBER),
    _Loader("transformers", re.compile(r"configuration_(?:auto|utils)\.py$"), re.compile(r"from_(?:pretrained|dict)"),
            "config.json", _OF_A_NUMBER),
)  # fmt: skip


# Words of torch and Python for what is no length of an axis.
_NO_SIZE = re.compile(
    r"argument 'size'|cannot be interpreted as an integer|negative dimension|"
    r"unsupported operand type\(s\) for (?://|/|\*\*)"
)
_FIELD = re.compile(r"\bconfig\.(\w+)")
_MODELING = re.compile(r"^models[/\\]\w+[/\\]modeling_\w+\.py$")


def of_a_size(message: str, package: str, place: Frame, lines: list[str]) -> Explained | None:
    """A field of config.json of which a model's constructor makes its layers; `lines` are the last ones of code."""
    if package != "transformers" or place.function != "__init__" or _MODELING.search(place.path) is None:
        return None
    fields = list(dict.fromkeys(name for line in lines for name in _FIELD.findall(line)))
    if _NO_SIZE.search(message) is None or not fields:
        return None
    named = "`, `".join(fields[:3])
    says = (
        f"transformers cannot make the model's layers of config.json's `{named}`, in `{place.path}`: {message[:120]}; "
        "the value was edited, or is of a kind that another class or release reads"
    )
    return Explained("settings-refused", says, (
        f"put back the `{fields[0]}` of the base's own config.json, or take that file",
        "`envpin check FOLDER` says which value transformers does not take",
    ))  # fmt: skip


class _Named(NamedTuple):
    """What a line of transformers looks up, and whose key was not there: `{0}` in the words is that key."""

    line: re.Pattern[str]
    code: str
    says: str
    fix: tuple[str, ...]


# Read in transformers 4.57.6 and 5.24.0: modeling_rope_utils.py, activations.py, utils/hub.py.
_NAMED = (
    _Named(re.compile(r"ROPE_INIT_FUNCTIONS\["), "rope-config-unreadable",
           "config.json asks for rotary embeddings of type `{0}` (`rope_scaling`, in newer ones `rope_parameters`), "
           "which this transformers does not have",
           ("run with a newer transformers, if the model is newer than it: python -m pip install -U transformers",
            "else put back the `rope_scaling` that `save_pretrained` wrote")),
    _Named(re.compile(r"\bACT2FN\["), "settings-refused",
           "the config names an activation `{0}` (`hidden_act`), which this transformers does not have",
           ("put back the `hidden_act` of the base's own config.json",
            "if the model is newer than this transformers: python -m pip install -U transformers")),
    _Named(re.compile(r"index\[[\"'](?:weight_map|metadata)[\"']\]"), "corrupt-header",
           "the index of the shards (model.safetensors.index.json) has no `{0}`, which transformers reads before any "
           "shard",
           ("take the index that `save_pretrained` wrote, or save the model again", "envpin check FOLDER")),
)  # fmt: skip


def of_a_name(exception: str, message: str, package: str, lines: list[str]) -> Explained | None:
    """A name in a file that transformers looks up in a table of its own; `lines` are the last ones of code."""
    if exception != "KeyError" or package != "transformers":
        return None
    key = message.strip().strip("'\"")[:60]
    for one in _NAMED:
        if any(one.line.search(line) for line in lines):
            return Explained(one.code, one.says.format(key), one.fix)
    return None


def of_a_value(exception: str, message: str, package: str, frames: list[Frame], line: str) -> Explained | None:
    """Which file holds the value, by the function of the same library that loads; `line` is the code that stopped."""
    if exception not in {"TypeError", "AttributeError"}:
        return None
    for loader in _LOADERS:
        if loader.package != package or loader.words.search(message) is None:
            continue
        if any(
            one.library == package and loader.path.search(one.path) and loader.function.fullmatch(one.function)
            for one in frames
        ):
            at = f" (`{line.strip()[:80]}`)" if line.strip() else ""
            says = f"a value in {loader.file} is of another type than {package} reads there{at}: {message[:120]}"
            return Explained("settings-refused", says, (
                "`envpin check FOLDER` names the field, and what it takes",
                f"put back the {loader.file} that `save_pretrained` wrote",
            ))  # fmt: skip
    return None
