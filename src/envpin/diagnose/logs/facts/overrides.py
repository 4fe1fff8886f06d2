"""Methods of transformers' Trainer that a class overrides with the arguments of another release. Pure but for collected
data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.logs.facts.name_facts import TRAINING, series
from envpin.diagnose.logs.facts.names import arguments_of
from envpin.diagnose.logs.facts.symbols import owner_of
from envpin.diagnose.logs.text.explained import Explained

if TYPE_CHECKING:
    from collections.abc import Mapping

OVERRIDE_ANCHORS = ("positional argument", "got an unexpected keyword argument")
_CALL = re.compile(
    r"\b(\w*Trainer)\.(\w+)\(\) (?:takes (?:from \d+ to )?(?P<takes>\d+) positional arguments? but (?P<given>\d+) w|"
    r"missing \d+ required positional arguments?: (?P<missing>.{1,200})|got an unexpected keyword argument "
    r"'(?P<unexpected>\w{1,80})')"
)


def explain_override(line: str) -> Explained | None:
    """None where the method is none of the Trainer's, or no release gave or took one of its arguments."""
    found = _CALL.search(line)
    if found is None or found[2] == "__init__":
        return None
    changes = arguments_of("transformers", f"Trainer.{found[2]}")
    asked = set(re.findall(r"'(\w+)'", found["missing"] or "")) or {found["unexpected"]} - {None}
    told = _told(changes, asked, more=int(found["given"] or 0) > int(found["takes"] or 0))
    if not told:
        return None
    if found[1] == "Trainer":
        return _of_a_call_of_its_own(found[2], changes, told)
    code = "library-api-changed" if owner_of(found[1]) else "transformers-api-changed"
    says = f"transformers calls `{found[2]}` of its Trainer otherwise than `{found[1]}` takes it: {', '.join(told)}"
    step = (
        f"take a release of what defines `{found[1]}` that goes with this transformers, or override `{found[2]}` alike"
    )
    return Explained(code, says, (step, TRAINING))


def _told(changes: Mapping[str, tuple[str, ...]], asked: set[str], *, more: bool) -> list[str]:
    """What releases did to the arguments asked for, or which came, where more were given than taken."""
    told = []
    for name, stays in changes.items():
        came = len(stays) % 2 == 1
        if name in asked or (not asked and more and came):
            told.append(f"`{name}` {'came' if came else 'went'} with transformers {stays[-1]}")
    return told


def _of_a_call_of_its_own(method: str, changes: Mapping[str, tuple[str, ...]], told: list[str]) -> Explained:
    """transformers' own method is asked for what it does not take: by `super()` of a class of another release."""
    says = f"code calls `{method}` of transformers' Trainer with other arguments than it takes: {', '.join(told)}"
    came = [stays[-1] for name, stays in changes.items() if len(stays) % 2 and f"`{name}` came" in " ".join(told)]
    if not came:
        return Explained("transformers-api-changed", f"{says}, and the code is older", (TRAINING,))
    newer = command_text("python", "-m", "pip", "install", f"transformers>={max(came, key=series)}")
    without = f"or leave it out of the call of `super().{method}`"
    return Explained("transformers-api-changed", f"{says}: this transformers is older than the code", (
        f"run with the transformers that the code was written for: {newer}", without, TRAINING,
    ))  # fmt: skip
