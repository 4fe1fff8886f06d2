"""What a script stops at in its own code: a row of JSON Lines, the tensors of two adapters. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.ending.modules import no_module
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import last_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LINE_OF_JSON = re.compile(r"json\.loads\(\s*(?:line|row|l|x|record|item|entry|s|raw)\b")
_SIZES = re.compile(r"The size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)")
_UNEQUAL = re.compile(
    r"The size of tensor a \((?P<one>\d+)\) must match the size of tensor b \((?P<other>\d+)\) at non-singleton "
    r"dimension (?P<at>\d)|"
    r"(?:broadcast together with shapes \(|equal size, but got \[)(?P<shape>[\d, ]{1,40})[)\]][^(\[]{0,20}[(\[]"
    r"(?P<shape2>[\d, ]{1,40})"
)
# What is done to the tensors of one name.
_ARITHMETIC = re.compile(
    r"(?m)^(?=[^\n]*(?:\+|-|\*|sum\(|stack\(|mean\(|lerp|add_?\())[^\n]*(?:\b(?:sd|state_?dicts?|delta|theta|merged|avg\w*|"
    r"soup|vector|base|target|finetuned|pretrained|weights?|params?|checkpoint|ckpt)\w*(?:\.data|\.state_dict\(\))?"
    r"\[\s*(?:name|key|k|n|param_?\w*|layer\w*)\s*\]|\bparam\w*\.data\b|\w+\[(?:name|key|k)\][^\n]*\w+\[(?:name|key|k)\])"
)
_PRODUCT = re.compile(r"(?:\+=|=[^\n]{0,200}\+)[^\n]{0,200}\b(?:lora_?)?B\w* @ (?:lora_?)?A\b")
# The same where a line before made the product.
_ADDED = re.compile(
    r"(?:\+=|\+|add_\()\s*(?:\w+ ?\* ?)?(?:lora_)?(?:delta|update|diff|dw)\w*(?:\.\w+(?:\(\))?)?\)?\s*(?:#|$)",
    re.MULTILINE,
)
# What a script takes a difference from, be it to make an adapter of it.
_OF_A_BASE = re.compile(r"(?i)\b(?:base|pre(?:trained)?|orig\w*|fine_?tuned|tuned|ft)_?\w*(?:\.state_dict\(\))?\[")
_LORA = re.compile(r"(?i)lora|adapter")
_SMALLEST_VOCABULARY, _OF_ONE_WIDTH, _MOST_CLASSES = 200, 1.25, 24
_BOTH_SHAPES = "print the name and both shapes at that line; compare hidden_size and vocab_size in the two config.json"
_TENSOR = re.compile(r"'((?:base_model\.model\.)?[\w.]*\.lora_(?:A|B|embedding_[AB])\.[\w.]+)'")
_TWO_ADAPTERS = re.compile(r"(?i)lora|adapter|merge|blend")
_PART = re.compile(r"\[[\"'](?:content|role|text|value|from)[\"']\]")
# Ranks that people give; a hidden size is larger.
_LARGEST_RANK = 256


def of_script(exception: str, message: str, before: str) -> Explained | None:
    """What a script of this field stopped at; None where its own lines do not tell."""
    tell = _BY_EXCEPTION.get(exception)
    return None if tell is None else tell(message, before)


def _no_row(message: str, before: str) -> Explained | None:
    """A line of a file of JSON Lines."""
    if _LINE_OF_JSON.search("\n".join(before.split("\n")[-14:])) is None:
        return None
    says = f"a line of the file that the script reads as JSON Lines is no JSON value: {message}"
    if message.startswith("Expecting value: line 1 column 1 (char 0)"):
        says = (
            "a line of the file that the script reads as JSON Lines does not begin as JSON: it is empty, or the file "
            "is a pointer of git-lfs, a web page, or of another format"
        )
        return Explained("data-not-as-expected", says, (
            "look at the first lines: head -n 2 FILE; after `version https://git-lfs…`: git lfs pull",
            "every line has to be one whole JSON value: no comma between lines, no empty line, no list around them",
        ))  # fmt: skip
    return Explained("data-not-as-expected", says, (
        "every line has to be one whole JSON value: no comma between lines, no empty line, no list around them",
        "look at the first lines: head -n 2 FILE",
    ))  # fmt: skip


def _other_shape(message: str, before: str) -> Explained | None:
    """Two adapters that a script combines, tensor by tensor."""
    if (told := _of_two_models(message, before)) is not None:
        return told
    found = _SIZES.search(message)
    if found is None or _TWO_ADAPTERS.search("\n".join(before.split("\n")[-10:])) is None:
        return None
    one, other = int(found[1]), int(found[2])
    rank = max(one, other) <= _LARGEST_RANK and one & (one - 1) == 0 and other & (other - 1) == 0
    if rank:
        says = f"the script combines two adapters of different rank ({one} and {other})"
        return Explained(
            "rank-mismatch", says, ("take adapters of one rank, or combine them by peft: add_weighted_adapter",)
        )
    says = f"the script combines tensors of two adapters or models of different width ({one} and {other})"
    return Explained("wrong-base-hidden-size", says, ("take two that were trained on the same base",))


def _of_two_models(message: str, before: str) -> Explained | None:
    """Two models whose tensors a script adds, subtracts or averages, name by name."""
    found = _UNEQUAL.search(message)
    code = "\n".join(last_code(before))
    near = "\n".join(before.split("\n")[-10:])
    of_a_product = _PRODUCT.search(code) or (_ADDED.search(code) and _LORA.search(near))
    if found is not None and found["one"] is not None and of_a_product is not None:
        says = (
            "the script adds an adapter's product (B @ A) to the base's tensor of that name, and they are of different "
            f"sizes ({found['one']} and {found['other']}): the adapter was trained on a base of another size"
        )
        return Explained("wrong-base-hidden-size", says, (
            "give the base that adapter_config.json names: base_model_name_or_path",
            "compare the two: envpin check ADAPTER --base BASE",
        ))  # fmt: skip
    if found is None or _ARITHMETIC.search(code) is None:
        return None
    if _LORA.search(near) is not None and _OF_A_BASE.search(code) is None:
        return None
    if found["at"] is not None:
        one, other, rows = int(found["one"]), int(found["other"]), found["at"] == "0"
    else:
        first, second = (tuple(map(int, re.findall(r"\d+", found[name]))) for name in ("shape", "shape2"))
        if len(first) != len(second) or first == second:
            return None
        at = next(at for at, size in enumerate(first) if size != second[at])
        one, other, rows = first[at], second[at], at == 0
    return _of_other_rows(one, other) if rows else _of_other_sizes(one, other)


def _of_other_rows(one: int, other: int) -> Explained:
    """A tensor that has other rows in one of two models: of a vocabulary, of a head, or of all of it."""
    if min(one, other) >= _SMALLEST_VOCABULARY and max(one, other) < min(one, other) * _OF_ONE_WIDTH:
        says = (
            f"the script combines the tensors of two models, name by name, and one of them has {one} rows in one and "
            f"{other} in the other: their vocabularies differ (tokens were added to one, or they are of other families)"
        )
        resize = (
            "tokens that were added: resize_token_embeddings of the smaller one to that number first, or leave the "
        )
        return Explained("vocab-mismatch", says, (f"{resize}embedding and the head out", _BOTH_SHAPES))
    if max(one, other) <= _MOST_CLASSES:
        says = (
            f"the script combines the tensors of two models, name by name, and one of them has {one} rows in one and "
            f"{other} in the other: most likely their heads, of another number of classes"
        )
        return Explained("task-head", says, ("take models of the same labels, or leave the head out", _BOTH_SHAPES))
    return _of_other_sizes(one, other)


def _of_other_sizes(one: int, other: int) -> Explained:
    says = (
        f"the script combines the tensors of two models, name by name, and they are of different sizes ({one} and "
        f"{other})"
    )
    return Explained("wrong-base-hidden-size", says, ("take two of one base and size", _BOTH_SHAPES))


def _no_tensor(message: str, _: str) -> Explained | None:
    found = _TENSOR.search(message)
    if found is None:
        return None
    says = f"the script looks for `{found[1]}`, which the other adapter does not have: they train other modules"
    return Explained("unmatched-adapter-keys", says, (
        "take adapters with the same target_modules, of the same base", "compare their names: envpin check ADAPTER",
    ))  # fmt: skip


def letters_of(message: str) -> str:
    """Which encoding a file most likely has, by what its bytes are not: a key of OTHER_LETTERS."""
    if re.search(r"byte 0xf[ef] in position 0\b", message) is not None:
        return "utf-16"
    return "utf-8" if re.match(r"'utf-?8'", message) is None else "another"


def _other_letters(message: str, _: str) -> Explained | None:
    kind = letters_of(message)
    most = {"utf-16": "UTF-16", "utf-8": "most likely UTF-8, and opened in the encoding of the system"}.get(kind)
    says = "a text file that the script reads is of another encoding than it is read in"
    return Explained("data-not-as-expected", f"{says}{f' ({most})' if most else ''}: {message}", OTHER_LETTERS[kind])


def _text_for_a_message(message: str, before: str) -> Explained | None:
    """A row whose text is asked for the parts of a conversation."""
    last = "\n".join(before.split("\n")[-5:])
    if not message.startswith("string indices must be integers") or _PART.search(last) is None:
        return None
    says = "the script takes rows for conversations (lists of `role` and `content`), and they are plain text"
    return Explained("data-not-as-expected", says, (
        "make them messages: [{\"role\": \"user\", \"content\": text}]", "print one row: print(dataset[0])",
    ))  # fmt: skip


# How to read a file, by its encoding.
OTHER_LETTERS: Mapping[str, tuple[str, ...]] = {
    "utf-16": ("make it UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW", 'or name it: open(FILE, encoding="utf-16")'),
    "utf-8": (
        'name it: open(FILE, encoding="utf-8")', "or for all files: export PYTHONUTF8=1 (Windows: set PYTHONUTF8=1)"
    ),
    "another": (
        "make it UTF-8: iconv -f GBK -t UTF-8 FILE > NEW (or -f CP1252)", "or name its own: open(FILE, encoding=…)"
    ),
}  # fmt: skip
_BY_EXCEPTION: Mapping[str, Callable[[str, str], Explained | None]] = {
    "ModuleNotFoundError": no_module,
    "JSONDecodeError": _no_row,
    "RuntimeError": _other_shape,
    "ValueError": _of_two_models,
    "KeyError": _no_tensor,
    "UnicodeDecodeError": _other_letters,
    "TypeError": _text_for_a_message,
}
