"""Options of a command line that another release has: fields of classes that the program reads, and commands. Pure.

A parser that makes options of classes (transformers' HfArgumentParser) knows those of the installed release, so the
facts about arguments tell of them. What ms-swift renamed was read in its wheels.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.core.command_text import command_text
from envpin.diagnose.logs.facts.arguments import history, option_history
from envpin.diagnose.logs.facts.commands import explain_command
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.facts.successors import before as called_before
from envpin.diagnose.logs.facts.successors import instead_of
from envpin.diagnose.logs.text.explained import Explained

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNKNOWN = re.compile(
    r"(?:remaining_argv: |not used by the HfArgumentParser: |unrecognized arguments: |No such option:? |"
    r"Got unknown args, potentially deprecated arguments: )(?P<rest>.+)"
)
_OF_SWIFT = "remaining_argv"
_NO_VALUE = re.compile(r"error: argument --(?P<name>[\w-]+)(?:/--[\w-]+)?: expected one argument")
# On the index its releases up to 0.7.1 are called llmtuner; llamafactory begins with 0.7.1.
_LLMTUNER = frozenset(f"<0.{minor}" for minor in range(2, 8))
_OF_FACTORY = re.compile(r"(?i)\bllama-?factory|\bllmtuner\b")
_NAME = re.compile(r"(?:(?<=^)|(?<=[\s'\"\[,]))(?:--?)?([A-Za-z][\w-]+)")
# Which config a script of trl reads, by what the script is called. What trl's command does not know it hands on to
# accelerate's parser.
_TRL = re.compile(
    r"\btrl\b|Accelerate launch command: error|(?i:\b(?:sft|dpo|kto|orpo|cpo|grpo|rloo|reward)(?:_\w+)?\.py)"
)
# The list begins with a value: what its option was, another word took in.
_VALUE_ALONE = re.compile(r"^\[['\"]([^-'\"\s=][^'\"\n]{0,200})['\"](?:, ['\"]--|\])")
_SCRIPT = re.compile(r"(?i)(?:[/\\\s]|^)(sft|dpo|kto|orpo|cpo|grpo|rloo|reward)(?:_\w+)?(?:\.py\b|\s|:)")
_TRL_CONFIGS = {"reward": "RewardConfig"}


class _Renamed(NamedTuple):
    """What a command calls an option in another release, and where the turn is."""

    now: str
    turn: str


# Fields of its arguments in the wheels of 2.6.1, 3.0.0, 3.12.6, 4.0.0 (which still takes `train_type`) and 4.1.3.
_SWIFT: Mapping[str, _Renamed] = {
    "train_type": _Renamed("tuner_type", "4.1"), "sft_type": _Renamed("train_type (tuner_type from 4.0 on)", "3.0"),
    "model_id_or_path": _Renamed("model", "3.0"), "ckpt_dir": _Renamed("adapters", "4.0"),
    "dtype": _Renamed("torch_dtype", "3.0"), "lora_target_modules": _Renamed("target_modules", "3.0"),
    "lora_dropout_p": _Renamed("lora_dropout", "3.0"), "batch_size": _Renamed("per_device_train_batch_size", "3.0"),
    "dataset_test_ratio": _Renamed("split_dataset_ratio", "3.0"),
}  # fmt: skip


def explain_option(line: str, before: str) -> Explained | None:
    """The release that has an option which a program does not know; None where the facts hold none."""
    found = _UNKNOWN.search(line)
    if found is None:
        return _of_a_value(line, before) or explain_command(line, before)
    if (alone := _VALUE_ALONE.search(found["rest"])) is not None and "keys are not used" not in line:
        return _of_no_option(alone[1])
    for name in (one.replace("-", "_") for one in _NAME.findall(found["rest"])):
        told = (
            _of_swift(name) if _OF_SWIFT in line else _of_factory(name, line, before) or _of_classes(name, line, before)
        )
        if told is not None:
            return told
    return None


def _of_no_option(value: str) -> Explained:
    says = (
        f"`{value}` stands alone, without the option that it is of: a blank is missing before a `\\` at the end of a "
        "line, the option before it takes no value here, or one takes fewer values"
    )
    return Explained("settings-refused", says, (
        f"look at the command before `{value}`: each `\\` has a blank before it and nothing behind it",
    ))  # fmt: skip


def _of_swift(name: str) -> Explained | None:
    if name == "tuner_type":
        says = "ms-swift calls `--tuner_type` so from 4.0 on: this one is older, and calls it `--train_type`"
        newer = command_text("python", "-m", "pip", "install", "ms-swift>=4")
        return Explained("library-api-changed", says, ("write `--train_type` in its place", f"or {newer}", TRAINING))
    if (other := _SWIFT.get(name)) is None:
        # what came later may be an option of another of its commands, and those without one look the same
        return _of_trainer(name, "ms-swift") if option_history("ms-swift", name)[1] is not None else None
    says = f"ms-swift has no `--{name}` from {other.turn} on, it is `--{other.now}`: the command is of an older one"
    older = command_text("python", "-m", "pip", "install", f"ms-swift<{other.turn}")
    return Explained("library-api-changed", says, (f"write `--{other.now}` in its place", f"or {older}", TRAINING))


def _of_factory(name: str, line: str, before: str) -> Explained | None:
    return _of_trainer(name, "llamafactory") if _OF_FACTORY.search(f"{before}\n{line}") is not None else None


def _of_trainer(name: str, package: str) -> Explained | None:
    """An option that this trainer has in other releases."""
    since, gone = option_history(package, name)
    if gone is not None:
        says = f"{package} has no option `--{name}` from {gone} on: the command or file is of an older release"
        return _of_another_release(says, instead_of(package, "", name, gone), package, f"<{gone}")
    if since is not None:
        says = (
            f"{package} has the option `--{name}` from {since} on: this one is older, or the option is of another step"
        )
        return _of_another_release(says, called_before(package, "", name), package, f">={since}")
    return None


def _of_another_release(says: str, now: str | None, package: str, release: str) -> Explained:
    index = "llmtuner" if package == "llamafactory" and release in _LLMTUNER else package
    return _told("library-api-changed", says, now.removeprefix("or ") if now is not None else None, f"{index}{release}")


def _told(code: str, says: str, now: str | None, requirement: str) -> Explained:
    install = command_text("python", "-m", "pip", "install", requirement)
    steps = (now, f"or {install}") if now is not None else (install,)
    return Explained(code, says, (*steps, TRAINING))


def _of_a_value(line: str, before: str) -> Explained | None:
    """A switch of older releases that takes a value in this one."""
    found = _NO_VALUE.search(line)
    if found is None or _OF_FACTORY.search(f"{before}\n{line}") is None:
        return None
    name, since, values = "flash_attn", "0.7", "auto, disabled, sdpa or fa2"
    if found["name"].replace("-", "_") != name:
        return None
    says = f"llamafactory takes a value for `--{name}` from {since} on, which was a switch before: the command is older"
    return _of_another_release(says, f"write `--{name} auto` ({values})", "llamafactory", f"<{since}")


def _of_classes(name: str, line: str, before: str) -> Explained | None:
    """An option that is a field of `TrainingArguments`, or of the config of trl that the program reads."""
    if "HfArgumentParser" not in line and _TRL.search(f"{before}\n{line}") is None:
        return None
    for owner in (*_configs_of(f"{before}\n{line}"), "ModelConfig", "ScriptArguments", "TrainingArguments"):
        since, gone, package = history(owner, name)
        if package is not None and (since or gone) and _is_dated(since, gone, package):
            return _explained(name, owner, since, gone, package)
    return None


def _is_dated(since: str | None, gone: str | None, package: str) -> bool:
    """Whether a release lacks it: what is as old as the first one that was read is nothing to speak of."""
    return gone is not None or package != "transformers" or since != "4.20.0"


def _configs_of(text: str) -> list[str]:
    if _TRL.search(text) is None:
        return []
    script = _SCRIPT.findall(text)
    kind = script[-1].lower() if script else "sft"
    return [_TRL_CONFIGS.get(kind, f"{kind.upper()}Config")]


def _explained(name: str, owner: str, since: str | None, gone: str | None, package: str) -> Explained:
    code = "transformers-api-changed" if package == "transformers" else "library-api-changed"
    which = f"`--{name}` is a field of `{owner}`"
    if gone is not None:
        says = f"{which}, which {package} has no more from {gone} on: the command is of an older {package}"
        now = instead_of(package, owner, name, gone)
        release = f"{package}<{gone}"
    else:
        says = f"{which}, which {package} has from {since} on: this one is older, or the option is of another class"
        now = called_before(package, owner, name)
        release = f"{package}>={since}"
    step = None if now is None else f"on the command line: {now.removeprefix('or ')}"
    return _told(code, says, step, release)
