"""What a program was told by a name, a size or a number, and refuses by a table or an assertion of its own. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.ending.own_checkpoints import of_a_checkpoint, of_told_shapes
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import code_lines, is_own

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

# A look-up in a table of models: by a setting, in a constant, or in one that is called after them.
_TOLD = r"(?:\w+\.)*(?:args|opts?|config|cfg|hparams|params|FLAGS)\.\w+"
_SETTING = (
    r"(?:model|arch|architecture|backbone|size|task|method|optim\w*|sched\w*|preset|variant|dtype|precision|scheme|"
    r"activation|act|loss|mode|template|dataset)(?:[ _]?(?:type|name|size|id|fn|func|key))?"
)
_TABLE = re.compile(
    rf"(?P<table>[A-Za-z_][\w.]{{0,60}}|\}})\s*\[\s*(?P<key>{_TOLD}|{_SETTING}(?:\.lower\(\))?|name|type)\s*\]"
)
# What a model's own config says of it, in place of an option.
_OF_THE_MODEL = re.compile(r"\bconfig\.(?:model_type|architectures)\b")
_LABELLED = re.compile(
    r"(?i)label|class(?:es)?\b|tokens?\b|vocab|row|batch|example|sample|data\b|weights?|state_dict|ckpt|"
    r"problems?\b|questions?\b|gold|refs?\b|references?\b|answers?\b|preds?\b|predictions?\b|docs?\b|corpus"
)
_BY_NAME = re.compile(r"(?i)^(?:from_name|from_pretrained|get_(?:model_)?config\w*|load_config|config_from_\w+)$")
_FIRST_OF = re.compile(r"\b\w*(?:config|conf|match|candidate|model)\w*\[0\]")
_KEY = re.compile(r"^(?P<q>[\"']?)(?P<name>[^\"'\n]{1,120})(?P=q)$")
_ASSERT = re.compile(r"\bassert\s+\(?(?P<what>[^\n]{1,200})")
_IN = re.compile(
    r"^(?:not )?(?P<what>[\w.\[\]\"'()]{1,60}?) (?:not )?in (?P<table>[^\n]{1,120}?)(?:,\s*f?[\"'][^\n]*)?$"
)
_DIVIDES = re.compile(r"^(?P<one>[\w.]{1,50}) % (?P<other>[\w.()]{1,50}) == 0")
_COUNTS = re.compile(r"mismatched keys: (?P<one>\d{1,6}) != (?P<other>\d{1,6})")
_COUNTED = re.compile(r"len\((?:\w*keys\w*|sd\w*)\) == len\((?:\w*keys\w*|sd\w*)\)")
_SHAPES = re.compile(r"^(?P<one>[^\n]{1,60})\.(?:shape|size\(\)) == (?P<other>[^\n]{1,60})\.(?:shape|size\(\))(?:,|$)")
_CONFIGURATOR = re.compile(r"exec\(open\([^)\n]*configurator\.py")
_LIMIT = re.compile(
    r"^(?P<one>t|T|seq\w*|\w*len(?:gth)?\w*|(?:\w+\.)?size\(\S{1,4}\)) <=? (?P<other>(?:\w+\.)*\w*"
    r"(?:block_size|seq\w*|len(?:gth)?|positions)\w*)"
)
_OF_SETTINGS = re.compile(r"(?i)override_args|params_given|divisible_by\(")
_NUMBERS = re.compile(r"(?i)layer|head|hidden|embd|dim|rank|world|size|batch|steps|block|length|vocab")
_AS_CONFIG = ("compare with the config.json of the checkpoint: layers, width, heads, vocabulary",)


def of_own_name(exception: str, message: str, before: str, frames: list[Frame]) -> Explained | None:
    """What the program's table or assertion refuses; None where a library's code stopped, or the line does not tell."""
    code = code_lines(before, within=10)
    if _CONFIGURATOR.search("\n".join(code)) is not None:
        return _of_the_configurator(exception, message)
    if not code or not is_own(frames[-1]):
        return None
    if exception == "AssertionError":
        return _of_an_assertion(message, "\n".join(code[-6:]))
    if exception == "IndexError" and _BY_NAME.search(frames[-1].function) and _FIRST_OF.search(code[-1]):
        says = (
            f"no entry of the program's own list of models fits the name that it was given (`{frames[-1].function}`, "
            "which most often takes the folder's name for it)"
        )
        return Explained("settings-refused", says, (
            "give the name of a model that it knows (--model_name), or call the folder so",
            "its list stands in the file of that line",
        ))  # fmt: skip
    held = of_a_checkpoint(exception, message, before, frames)
    return _of_a_table(message, code[-1]) if exception == "KeyError" else held


def _of_a_table(message: str, line: str) -> Explained | None:
    key, found = _KEY.match(message.strip()), _TABLE.search(line)
    if key is None or found is None or _LABELLED.search(found["table"]) is not None:
        return None
    table = "a table of its own" if found["table"] == "}" else f"`{found['table']}`"
    says = f"the program does not know `{key['name']}` as `{found['key']}`: {table} has no such entry"
    if _OF_THE_MODEL.search(found["key"]) is not None:
        says = f"the program does not take models of the type `{key['name']}` (`{found['key']}`): {table} has none"
        return Explained("model-of-another-kind", says, (
            "give it a model of one of the types that the table has: see it in the program's file",
        ))  # fmt: skip
    return Explained("settings-refused", says, (
        "give one of the names that the table has: see it in the program's file",
        f"`{found['key']}` comes from an option, or from the name of a folder",
    ))  # fmt: skip


def _of_the_configurator(exception: str, message: str) -> Explained | None:
    """nanoGPT's way to take settings, which many copied: each `--name=value` has to be a variable of the script."""
    if (unknown := re.search(r"Unknown config key: (\w{1,80})", message)) is not None:
        says = f"the script has no setting `{unknown[1]}`: it is misspelt, or of another version of the script"
        return Explained("settings-refused", says, ("its settings are the variables at its beginning",))
    if exception == "AssertionError":
        says = (
            "the script refuses a setting of the command line: the value has another type than the script's own "
            "(10 for a number with a point, 1 for True), or the setting is not written as --name=value"
        )
        return Explained("settings-refused", says, (
            "write each as --name=value, and of the type that stands at the script's beginning: 10.0, True",
        ))  # fmt: skip
    if exception == "FileNotFoundError" and (lost := re.search(r"directory: '([^'\n]{1,200})'", message)) is not None:
        says = f"the script takes `{lost[1]}`, an argument without --, for a file of settings, which is not there"
        return Explained("settings-refused", says, ("write settings as --name=value", "or give the file's path"))
    return None


def _of_an_assertion(message: str, code: str) -> Explained | None:
    every = list(_ASSERT.finditer(code))
    if not every:
        return None
    what = every[-1]["what"].partition(" # ")[0].strip()
    counts = _COUNTS.search(message)
    if counts is not None or _COUNTED.search(what) is not None:
        return _of_counts(counts)
    return _of_numbers(message, what) or _of_membership(message, what)


def _of_numbers(message: str, what: str) -> Explained | None:
    """Shapes, multiples and lengths that are asserted."""
    if (shapes := _SHAPES.search(what)) is not None:
        if (told := of_told_shapes(message)) is not None:
            return told
        says = (
            f"a tensor of the checkpoint (`{shapes['one'].strip()}` or `{shapes['other'].strip()}`) has another shape "
            "than the program's model: other sizes, or another vocabulary"
        )
        return Explained("wrong-base-hidden-size", says, _AS_CONFIG)
    if (divided := _DIVIDES.search(what)) is not None and _NUMBERS.search(what) is not None:
        says = f"`{divided['one']}` has to be a multiple of `{divided['other']}`, and is not"
        return Explained("settings-refused", says, ("change one of the two settings", "print both before that line"))
    if (limit := _LIMIT.search(what)) is not None:
        says = f"the input is longer than the model takes: `{limit['one']}` is above `{limit['other']}`"
        says = f"{says} ({message})" if message else says
        return Explained("inputs-do-not-fit", says, ("cut the input, or train with a larger block_size",))
    if _OF_SETTINGS.search(what) is not None:
        says = f"the program refuses the settings that it was given together: it asserts `{what}`"
        return Explained("settings-refused", says, ("print the settings that the line names, and change one",))
    return None


def _of_membership(message: str, what: str) -> Explained | None:
    member = _IN.search(what)
    if member is None or re.search(r"(?i)columns|features|row|batch|sample|dataset\b", member["table"]) is not None:
        return None
    if re.search(r"(?i)state_dict|checkpoint|ckpt|weights", member["table"]) is not None:
        return None
    quoted = f" ({message})" if message else ""
    some = f"the program takes only some values of `{member['what']}`"
    says = f"{some}, and this is none of them: {member['table']}{quoted}"
    code = "model-of-another-kind" if re.search(r"(?:config|cfg)\.\w*model_type", what) else "settings-refused"
    return Explained(code, says, ("give one of those that it knows", f"print `{member['what']}` before that line"))


def _of_counts(counts: re.Match[str] | None) -> Explained:
    if counts is None:
        says = (
            "the program's own model and the one that transformers loaded have other numbers of tensors: transformers "
            "4.30 and newer no longer save buffers (`attn.bias`, `attn.masked_bias`) that older code counts, or the "
            "model has other layers"
        )
        return Explained("transformers-api-changed", says, (
            "run with transformers < 4.30, or leave out keys that end in `.attn.bias` on both sides", *_AS_CONFIG,
        ))  # fmt: skip
    one, other = counts["one"], counts["other"]
    says = (
        f"the checkpoint that was loaded has {one} tensors, and the program's model of that name {other}: they have "
        "not the same number of layers"
    )
    return Explained("wrong-base-layers", says, (
        "a local folder that is called like a model of the Hub (gpt2) is loaded in its place: move it away, or rename",
        *_AS_CONFIG,
    ))  # fmt: skip
