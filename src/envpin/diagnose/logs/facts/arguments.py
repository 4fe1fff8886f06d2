"""Arguments that came with a release or went with one: which version an unexpected keyword speaks of. Pure.

The facts are read from released wheels: classes of peft and transformers from what `matrix collect --fields` wrote,
those of trl and accelerate from `arguments.json` (one release of each minor series; `benchmarks/wild.py` tells how).
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from envpin.core.sizes import counted
from envpin.diagnose.logs.facts.collected import read_collected
from envpin.diagnose.logs.facts.successors import before, instead_of
from envpin.diagnose.logs.text.explained import Explained
from envpin.matrix.fields import load_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NEWER_PEFT = "adapter-needs-newer-peft"
NO_RELEASE = "no release of peft that was looked at has"
ANCHOR = "got an unexpected keyword argument"
_LINE = re.compile(r"\b(?:(\w+)\.)?(\w+)\(\) got an unexpected keyword argument '(\w{1,80})'")
_IGNORED = re.compile(r"Unexpected keyword arguments \[([^\]]*)\] for class (\w+Config), these are ignored")
_TRL = re.compile(
    r"(?:Axolotl|_?Unsloth|Swift)?(?:SFT|DPO|PPO|PPOv2|KTO|ORPO|CPO|GRPO|Reward|RLOO|GKD|BCO|IterativeSFT|OnlineDPO|XPO|NashMD|PRM)(?:Trainer|Config)"
)
# What projects put before the names of the classes that they derive.
_DERIVED = re.compile(r"^_?(?:Axolotl|Unsloth|Swift)(?=[A-Z])")
# Classes of peft's configs by what they are called, where that is not the method's name and `Config`.
_PEFT_CLASSES = {"IA3CONFIG": "IA3", "LNTUNINGCONFIG": "LN_TUNING", "PROMPTTUNINGCONFIG": "PROMPT_TUNING",
                 "PREFIXTUNINGCONFIG": "PREFIX_TUNING", "PROMPTENCODERCONFIG": "P_TUNING",
                 "TRAINABLETOKENSCONFIG": "TRAINABLE_TOKENS"}  # fmt: skip
# `Trainer.__init__` itself was not collected. transformers 4.45.2 takes `tokenizer` alone, 4.46.0 to 4.57.6
# `processing_class` and, deprecated, `tokenizer`, and 5.0.0 `processing_class` alone.
# What `Accelerator` took before the first release that was read: `project_dir` and `mixed_precision` took their place.
# Read in the wheels of 0.15.0, 0.16.0, 0.19.0 and 0.20.0.
_NOT_COLLECTED: Mapping[tuple[str, str], tuple[str | None, str | None, str]] = {
    ("Trainer", "processing_class"): ("4.46.0", None, "transformers"),
    ("Trainer", "tokenizer"): (None, "5.0.0", "transformers"),
    ("Accelerator", "logging_dir"): (None, "0.20", "accelerate"),
    ("Accelerator", "fp16"): (None, "0.16", "accelerate"),
}
_ARGUMENTS = ("TrainingArguments", "Seq2SeqTrainingArguments")
_SPELT = ("see how it is spelt on the page of the class", "of trl's arguments: give them to its own …Config")
# Arguments that name their class, where Python before 3.10 does not.
_ALONE = dict.fromkeys(("dispatch_batches", "even_batches", "use_seedable_sampler", "split_batches"), "Accelerator")


def explain(line: str, lines: str = "") -> Explained | None:
    """What a line about an unexpected keyword says of releases; None where no collected class has that argument.

    `lines` are those before it: a script that writes the argument itself may have misspelt it.
    """
    found = _LINE.search(line)
    if found is None:
        return None
    owner, function, argument = found[1] or "", found[2], found[3]
    if function not in {"__init__", "init"}:
        return None
    since, gone, package = history(owner, argument)
    if package is None:
        from envpin.diagnose.logs.facts.loading import explain_loading

        return (
            _of_peft(owner, argument) or _of_trl(owner, argument, by_script=_script_calls(lines))
            or _of_training_arguments(owner, argument) or explain_loading(line, lines)
        )  # fmt: skip
    called = f"{f'`{owner}`' if owner else 'the constructor'} of {package}"
    if package == "transformers" and owner not in _ARGUMENTS and owner not in {"Trainer", "Seq2SeqTrainer"}:
        called = f"`{owner}`, which takes what `TrainingArguments` of transformers takes,"
    code = {
        ("peft", False): NEWER_PEFT,
        ("peft", True): "adapter-needs-older-peft",
        ("transformers", False): "transformers-api-changed",
        ("transformers", True): "transformers-api-changed",
    }.get((package, gone is not None), "library-api-changed")
    if code == NEWER_PEFT and _script_calls(lines):
        code = "library-api-changed"  # the script asks for it, no adapter does
    if gone is not None:
        says = f"{called} has no `{argument}` from {gone} on: the code or file is of an older {package}"
        by_hand = instead_of(package, owner, argument, gone) or f"leave out `{argument}`, as {package} {gone} wants it"
        return Explained(
            code, says, (f"run with {package} < {gone}, as training did: envpin run ADAPTER -- CMD", by_hand)
        )
    says = f"{called} has `{argument}` from {since} on: this {package} is older"
    by_hand = before(package, owner, argument) or f"by hand: remove `{argument}`, if its value is the default"
    return Explained(code, says, (f"run with {package} ≥ {since}", by_hand))


def _script_calls(lines: str) -> bool:
    """Whether the frame that made the call is of no library."""
    from envpin.diagnose.logs.text.frames import frames_of

    frames = frames_of(lines)
    return bool(frames) and frames[-1].library is None


def _misspelt(argument: str, known: Iterable[str]) -> str:
    """The argument that is written almost like this one, as a question."""
    from difflib import get_close_matches

    close = get_close_matches(argument, known, n=1, cutoff=0.8)
    return f"; is `{close[0]}` meant?" if close else ""


def of_ignored(line: str) -> tuple[str, tuple[str, ...]] | None:
    """What is said of the fields of a peft config that this peft leaves out."""
    found = _IGNORED.search(line)
    names = [] if found is None else re.findall(r"'(\w{1,80})'", found[1])
    came = {name: history(found[2], name)[0] for name in names} if found is not None else {}
    known = {name: release for name, release in came.items() if release is not None}
    if not known:
        return None
    newest = max(known.values(), key=lambda one: tuple(map(int, one.split("."))))
    last = next(name for name, release in known.items() if release == newest)
    says = (
        f"adapter_config.json has {counted(len(names), 'field')} that this peft leaves out, as newer ones wrote it: "
        f"`{last}` came with peft {newest}"
    )
    return says, (f"load it with peft ≥ {newest}", "fields with their default value change nothing: compare them there")


def _of_peft(owner: str, argument: str) -> Explained | None:
    """A field of a peft config that no release has."""
    if _peft_class(owner) is None:
        return None
    releases = load_fields().packages["peft"].releases
    says = (
        f"`{owner}` of peft and its `{argument}`, which {NO_RELEASE} (up to {releases[-1]}): a newer or development "
        "build or a fork wrote the config, or a person did"
    )
    fix = ("run with the peft that trained it: envpin infer ADAPTER says what the files tell of it",
           f"by hand: remove `{argument}` from adapter_config.json, if training did not use it")  # fmt: skip
    return Explained(NEWER_PEFT, says, fix)


def _of_trl(owner: str, argument: str, *, by_script: bool) -> Explained | None:
    """An argument that no collected release has: the class tells at least whose it is."""
    if _TRL.fullmatch(owner) is None:
        return None
    says = (
        f"`{owner}` of trl has no `{argument}` in any release that was looked at (0.7 to 1.16): it may be of the other "
        "class"
    )
    fix = ("data and loss are set in the …Config, the model and the data sets are given to the …Trainer",
           "run with the trl of training: envpin run ADAPTER -- CMD")  # fmt: skip
    if owner.endswith("Trainer"):
        config = f"{owner.removesuffix('Trainer')}Config"
        says = says.removesuffix("it may be of the other class") + f"it most likely belongs to `{config}`"
        fix = (f"give `{argument}` to `{config}`, and that to the trainer as `args`",
               f"see what each takes: help({owner}), help({config})")  # fmt: skip
    asked = _misspelt(argument, _fields_of_trl(owner))
    # A config may be of a newer trl than was read; what a trainer takes is older, and moved to the configs long ago.
    own = _DERIVED.match(owner) is None and (owner.endswith("Trainer") or by_script)
    if asked:
        says, fix = f"{says.rpartition(': ')[0]}: it is misspelt{asked}", _SPELT
    return Explained("settings-refused" if own else "library-api-changed", says, fix)


def _fields_of_trl(owner: str) -> list[str]:
    owner = _DERIVED.sub("", owner)
    own = _arguments().get("trl", {}).get(owner, {})
    inherited = load_fields().packages["transformers"].classes["TrainingArguments"].fields
    return [*own, *(inherited if owner.endswith("Config") else ())]


def _of_training_arguments(owner: str, argument: str) -> Explained | None:
    """A field that no release has for this class: no version is to blame."""
    facts = load_fields().packages["transformers"]
    if owner not in _ARGUMENTS:
        inherited = facts.classes["TrainingArguments"].fields if owner.endswith("TrainingArguments") else ()
        asked = _misspelt(argument, inherited)
        return (
            Explained("settings-refused", f"`{owner}` has no `{argument}`: misspelt{asked}", _SPELT) if asked else None
        )
    other = next((one for one in _ARGUMENTS if argument in facts.classes[one].fields), None)
    says = (
        f"`{owner}` of transformers has no `{argument}` in any release that was looked at (up to {facts.releases[-1]})"
    )
    if other is not None:
        return Explained(
            "settings-refused", f"{says}: it belongs to `{other}`", (f"use {other}, and the trainer to it",)
        )
    asked = _misspelt(argument, facts.classes[owner].fields)
    return Explained("settings-refused", f"{says}: it is misspelt, or of another class{asked}", _SPELT)


def history(owner: str, argument: str) -> tuple[str | None, str | None, str | None]:
    """First release with the argument where it came later than the class, first release without it, the package."""
    if (kind := _peft_class(owner)) is not None:
        return _collected("peft", kind, argument)
    if owner in _ARGUMENTS:
        return _collected("transformers", owner, argument)
    if (own := _NOT_COLLECTED.get((owner.removeprefix("Seq2Seq"), argument))) is not None:
        return own
    owner = _DERIVED.sub("", owner) or _ALONE.get(argument, "")
    for package, facts in _arguments().items():
        entry = facts.get(owner, {}).get(argument)
        if entry is not None:
            return entry.get("since"), entry.get("gone"), package
    if owner.endswith("TrainingArguments") or (owner.endswith("Config") and _TRL.fullmatch(owner)):
        return _collected("transformers", "TrainingArguments", argument)  # what each of them derives from
    return None, None, None


def option_history(package: str, option: str) -> tuple[str | None, str | None]:
    """The same of an option of a trainer's command line, by the fields of all classes that its parser reads."""
    entry = _arguments().get(package, {}).get("options", {}).get(option, {})
    return entry.get("since"), entry.get("gone")


def _peft_class(owner: str) -> str | None:
    upper = owner.upper()
    kind = _PEFT_CLASSES.get(upper, upper.removesuffix("CONFIG"))
    return kind if upper.endswith("CONFIG") and kind in load_fields().packages["peft"].classes else None


def fields_of(owner: str) -> list[str]:
    """The fields of a config class of peft, of every release that was looked at."""
    kind = _peft_class(owner)
    return [] if kind is None else sorted(load_fields().packages["peft"].classes[kind].fields)


def _collected(package: str, kind: str, argument: str) -> tuple[str | None, str | None, str | None]:
    facts = load_fields().packages[package]
    found = facts.classes[kind].fields.get(argument)
    if found is None:
        return None, None, None
    last = found.spans[-1][1]
    gone = facts.releases[last + 1] if last + 1 < len(facts.releases) else None
    return facts.releases[found.spans[0][0]], gone, package


@cache
def _arguments() -> Mapping[str, Mapping[str, Mapping[str, Mapping[str, str]]]]:
    return read_collected("arguments.json", dict[str, dict[str, dict[str, dict[str, str]]]], most=1_000_000)
