"""Commands of a program that another release has, or that it calls otherwise. Pure.

Read in the wheels of trl 0.8.6 to 1.16.0 (`commands/cli.py`, `cli.py`, `cli/commands/`) and of ms-swift 2.6.1 to 4.6.0
(`cli/main.py`, whose table raises a bare KeyError).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.core.command_text import command_text
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.text.explained import Explained

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF_TRL = re.compile(
    r"(?:(?:TRL CLI|trl): error: argument [\w{},-]{1,200}: invalid choice: '|supported commands, got )(?P<name>[\w-]+)"
)
_OF_SWIFT = re.compile(r"KeyError: '(?P<name>[\w-]{1,40})'\s*$")
_SWIFT_TABLE = re.compile(r"swift[/\\]cli[/\\](?:_megatron[/\\])?main\.py|(?i:route_mapping)\[method_name\]")


class _Command(NamedTuple):
    """`since` and `gone` are releases, "" where every one that was read has it on that side."""

    since: str = ""
    gone: str = ""
    step: str = ""


_TRL: Mapping[str, _Command] = {
    "kto": _Command("0.11"), "env": _Command("0.12"), "grpo": _Command("0.14"), "vllm-serve": _Command("0.16"),
    "rloo": _Command("0.22"), "reward": _Command("0.24"),
    "chat": _Command(gone="0.19", step="transformers chat, of transformers"),
}  # fmt: skip
_SWIFT: Mapping[str, _Command] = {
    "dpo": _Command(gone="3.0"), "orpo": _Command(gone="3.0"), "simpo": _Command(gone="3.0"),
    "app-ui": _Command(gone="3.0", step="swift app, from 3.1 on"),
    "app": _Command("3.1"), "sample": _Command("3.1"), "rollout": _Command("3.4"),
}  # fmt: skip
# What `--rlhf_type` takes, which people give as a command of its own.
_RLHF = frozenset({"dpo", "orpo", "simpo", "kto", "cpo", "rm", "ppo", "grpo", "gkd"})


def explain_command(line: str, before: str) -> Explained | None:
    """None where no such program refuses a command, or the facts hold nothing of it."""
    if (found := _OF_TRL.search(line)) is not None:
        return _dated("trl", found["name"], _TRL.get(found["name"]))
    found = _OF_SWIFT.search(line)
    if found is None or _SWIFT_TABLE.search("\n".join(before.split("\n")[-6:])) is None:
        return None
    return _of_swift(found["name"])


def _of_swift(name: str) -> Explained:
    step = f"swift rlhf --rlhf_type {name} …" if name in _RLHF else ""
    known = _SWIFT.get(name)
    if known is not None:
        told = _dated("ms-swift", name, known._replace(step=known.step or step))
        if told is not None:
            return told
    says = f"ms-swift has no command `swift {name}`"
    if step:
        says = f"{says}: this training is a type of `swift rlhf`"
    return Explained("settings-refused", says, (step or "take one that there is: pt, sft, rlhf, infer, deploy, export, "
                                                "eval, app, web-ui, merge-lora",))  # fmt: skip


def _dated(package: str, name: str, known: _Command | None) -> Explained | None:
    if known is None:
        return None
    program = "swift" if package == "ms-swift" else package
    if known.gone:
        says = f"`{program} {name}` went with {package} {known.gone}: the command is of an older one"
        release = f"{package}<{known.gone}"
    else:
        says = f"`{program} {name}` came with {package} {known.since}: the one that is installed is older"
        release = f"{package}>={known.since}"
    install = command_text("python", "-m", "pip", "install", release)
    steps = (known.step, f"or {install}") if known.step else (install,)
    return Explained("library-api-changed", says, (*steps, TRAINING))
