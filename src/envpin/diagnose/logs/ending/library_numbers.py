"""Settings that a library was given as text or not at all, and of which it makes a number or a path. Pure."""

from __future__ import annotations

import re

from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.text.carets import marked_code
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of, is_own, last_code, lines_below

_NUMBER = r"(?:int|float|complex|Fraction)"
AS_NUMBER = re.compile(
    r"must be real number, not str|'str' object cannot be interpreted as an integer|"
    rf"unsupported operand type\(s\) for [^\n]{{1,20}}: (?:'str' and '{_NUMBER}'|'{_NUMBER}' and 'str')|"
    rf"not supported between instances of (?:'str' and '{_NUMBER}'|'{_NUMBER}' and 'str')|"
    r"can't multiply sequence by non-int of type 'float'|bad operand type for (?:unary [-+]|abs\(\)): 'str'"
)
_CONVERTED = re.compile(
    r"(?:invalid literal for int\(\) with base 10|could not convert string to (?:float|int)): (?P<value>[^\n]{1,80})"
)
# Where settings stand in the code of libraries, and the argument of a conversion.
_SETTING = re.compile(
    r"\b(?:\w*(?:args|arguments|config|cfg|kwargs|params|options|settings))(?:\.(?P<member>[a-z]\w{1,60})\b(?!\s*[.(\[])|"
    r"\[[\"'](?P<key>\w{1,60})[\"']\]|\.get\([\"'](?P<got>\w{1,60})[\"'])"
)
_MADE = re.compile(r"\b(?:int|float)\(\s*(?:self\.)?(?P<name>[a-z]\w{2,60})\b")
# A tensor and text: what torch says of it, and the member of a trainer that is multiplied.
_WITH_A_TENSOR = re.compile(r"only integer tensors of a single element can be converted to an index")
_FACTOR = re.compile(r"\bself\.(?P<first>[a-z]\w{1,60}) \*|\* self\.(?P<second>[a-z]\w{1,60})\b(?!\s*[.(\[])")
# Their numbers come of rows, of messages and of files.
_OF_DATA = frozenset({"datasets", "evaluate", "tokenizers", "safetensors", "gguf"})
_YAML = "YAML reads 2e-4 as text, and 2.0e-4 as a number; quotes make text of any number"


_OF_A_PROCESSOR = re.compile(r"(?:^|[/\\])(?P<file>(?:image_|video_)?processing|feature_extraction)_\w+\.py$")
_NO_NUMBER = re.compile(r"(?:unsupported operand|not supported between)[^\n]{1,60}'NoneType'")
_ARGUMENT = re.compile(r"\b(?:self\.)?\w*(?:args|arguments)\.(?P<member>[a-z]\w{1,60})\b(?!\s*[.(\[])")
# The side of a comparison or product that may be None, where arguments stand by their names alone.
_COMPARED = re.compile(
    r"(?:^|\bif |\bnot |\(|= )\s*(?P<first>[a-z]\w{0,40}) (?:[<>]=?|[*/+-]) |"
    r"(?:[<>]=?|[*/+-]) (?P<second>[a-z]\w{0,40})(?=:|\)|$)"
)
_WHOSE_ARGUMENTS = re.compile(r"(?:peft[/\\]tuners|torch[/\\]optim)[/\\]")
# Files of settings alone, whose members they are.
_OF_ARGUMENTS = re.compile(r"[/\\](?:training_args\w*|\w*_config|\w*arguments)\.py\"")
_NO_PATH = re.compile(r"(?:os\.PathLike object\b[^\n]{0,60}|(?:join\(\)|stat): [^\n]{1,80}), not '?NoneType")
_CALLS = re.compile(r"\w\([^\n]*\w")
# Programs whose settings a person writes into a file, which their code reads as a dict.
_OF_A_FILE = frozenset({
    "autotrain", "axolotl", "llamafactory", "ms-swift", "torchtune", "mergekit", "litgpt", "verl", "openrlhf", "mlx-lm",
    "llmcompressor", "lm-eval", "oumi", "xtuner", "finetrainers",
})  # fmt: skip
# A table of a library's own choices, and the variable by which it is looked up.
_TABLE = re.compile(
    r"\b(?P<name>\w*(?:_mapping|_MAPPING|_map|_MAP|_registry|_REGISTRY|_TABLE|_CHOICES|_FACTORY|_TYPES|2FN|_functions))"
    r"\[(?:\w+\.)*(?P<by>[a-z_]*(?:type|name|method|mode|kind|backend|impl|optim|scheduler|template|func|loss|metric)\w*)\]"
)
_READ_KEY = re.compile(
    r"\b(?:\w*(?:config|cfg|conf|args|settings|options|hparams))(?P<keys>(?:\[[\"']\w{1,60}[\"']\]){1,4})"
)
_MEMBER = re.compile(r"\bself\.(?P<name>[a-z]\w{2,60})\b(?!\s*[.(\[])")
_OF_VISION = frozenset({"patch_size", "image_size"})
_MULTIPLE = re.compile(r"assert\b[^\n]*?\b(?P<large>[\w.]{1,60}) % (?P<small>[\w.]{1,60}) == 0")


def nothing_for_a_setting(exception: str, path: str, message: str, before: str) -> Explained | None:
    """The setting that a processor's own file does not have, and with which its code counts; and one that the script
    left at None, which a library compares or counts with."""
    if exception == "TypeError" and (named := _left_out(message, before)) is not None:
        return named
    file = _OF_A_PROCESSOR.search(path) if exception == "TypeError" and _NO_NUMBER.search(message) else None
    if file is None:
        return None
    names = list(dict.fromkeys(_MEMBER.findall("\n".join(last_code(before)))))
    if not names:
        return None
    config = "processor_config.json" if file["file"] == "processing" else "preprocessor_config.json"
    which = " or ".join(f"`{name}`" for name in names)
    says = f"the processor counts with {which}, and the model's {config} gives none (an older conversion): it is None"
    by_hand = f"processor.{names[0]} = …, before the call"
    if names[0] in _OF_VISION:
        vision = f"processor.{names[0]} = model.config.vision_config.{names[0]}"
        by_hand = f"{vision}; vision_feature_select_strategy likewise, from model.config"
    return Explained("settings-refused", says, (
        f"add it to {config}, or take the newest one of the model's repository", f"or in the script: {by_hand}",
    ))  # fmt: skip


def _left_out(message: str, before: str) -> Explained | None:
    if _NO_NUMBER.search(message) is None:
        return None
    code, place = marked_code(before) or "\n".join(last_code(before)), before[max(before.rfind('File "'), 0) :]
    members = {found["member"] for found in _ARGUMENT.finditer(code)}
    if not members and _WHOSE_ARGUMENTS.search(place) is not None:
        members = {found["first"] or found["second"] for found in _COMPARED.finditer(code)}
    elif not members and _OF_ARGUMENTS.search(place) is not None:
        members = set(_MEMBER.findall(code)[-1 if message.endswith("'NoneType'") else 0 :][:1])
    if len(members) != 1:
        return None
    name = members.pop()
    says = f"the setting `{name}` is None, where a number is wanted: most likely an option that was left out"
    return Explained("settings-refused", says, (
        f"give the option of the script that sets `{name}`, or leave `{name}` out of the call: its default counts then",
    ))  # fmt: skip


def no_path(message: str, package: str, code: str, before: str = "") -> Explained | None:
    """The setting that a library takes for a path, and that was left out."""
    if _NO_PATH.search(message) is None:
        return None
    if (found := _SETTING.search(code)) is None:
        return _given_none(package, before)
    name = found["member"] or found["key"] or found["got"]
    says = f"{package} takes `{found[0]}` for a path or name, and it was left out (None)"
    return Explained("settings-refused", says, (
        f"give `{name}` in the settings, in the entry that this part of the program reads",
        "where other releases do without it: see the program's page for the one that is installed",
    ))  # fmt: skip


def _given_none(package: str, before: str) -> Explained | None:
    """The call of a script that gave a library None for a path."""
    own = [one for one in frames_of(before) if is_own(one)]
    line = next(iter(lines_below(own[-1], before)), "").strip() if own else ""
    if _CALLS.search(line) is None:
        return None
    says = f"the script gives {package} None for a path or name, in `{line[:160]}`: an option that was left out"
    return Explained("settings-refused", says, ("give the option of the script from which that path comes",))


def no_key(exception: str, message: str, package: str, code: str) -> Explained | None:
    """A key that a program reads of a person's file of settings, or a choice that its own table does not have."""
    if exception != "KeyError":
        return None
    key = message.strip().strip("'\"")
    if (table := _TABLE.search(code)) is not None and re.fullmatch(r"[\w.+-]{1,60}", key) is not None:
        says = f"`{key}` is no choice that this {package} knows for `{table['by']}` (`{table['name']}`)"
        return Explained("settings-refused", says, (
            f"see how it is spelt, and which there are: the page of this {package}",
            "or take the release that has it", TRAINING,
        ))  # fmt: skip
    if package not in _OF_A_FILE:
        return None
    for found in _READ_KEY.finditer(code):
        keys = re.findall(r"\w+", found["keys"])
        if keys[-1] == key:
            says = f"the settings have no `{': '.join(keys)}`, which {package} reads without a default"
            return Explained("settings-refused", says, (f"add `{key}` to the file of settings: {': '.join(keys)}: …",))
    return None


def no_multiple(exception: str, package: str, before: str) -> Explained | None:
    """What a library asserts of two sizes that come of settings: that one is a multiple of the other."""
    found = _MULTIPLE.search("\n".join(last_code(before))) if exception == "AssertionError" else None
    if found is None or found["small"].isdigit():
        return None
    large, small = (found[name].removeprefix("self.") for name in ("large", "small"))
    return Explained("settings-refused", f"{package} wants `{large}` to be a multiple of `{small}`, and it is not", (
        f"look at the settings of the call, or config.json, that give `{large}` and `{small}`, and change one of them",
    ))  # fmt: skip


def text_for_a_number(exception: str, message: str, package: str, before: str) -> Explained | None:
    """The setting of which a library could make no number; None where its line of code names none."""
    if package in _OF_DATA:
        return None
    code = "\n".join(last_code(before))
    converted = _CONVERTED.search(message) if exception == "ValueError" else None
    times_tensor = _WITH_A_TENSOR.search(message) is not None
    if converted is None and (exception != "TypeError" or not (times_tensor or AS_NUMBER.search(message))):
        return None
    names = {found["member"] or found["key"] or found["got"] for found in _SETTING.finditer(code)}
    if converted is not None:
        names |= {found["name"] for found in _MADE.finditer(code)}
    if times_tensor:
        names |= {found["first"] or found["second"] for found in _FACTOR.finditer(code)}
    if not names:
        return None
    which = " or ".join(f"`{name}`" for name in sorted(names))
    given = f" ({converted['value'].strip()})" if converted is not None else ""
    says = f"the setting {which} was given as text{given}, where {package} wants a number"
    return Explained("settings-refused", says, (f"give {which} as a number: {_YAML}",))
