"""Rows that a trainer puts into groups of one size, and of which a group is not whole. Pure.

trl 0.14 to 0.15 and the trainers made from them (open-r1, R1-V, Video-R1) write
`rewards.view(-1, self.num_generations)`.
"""

from __future__ import annotations

import re

from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import code_lines

_INVALID = re.compile(r"shape '\[(?P<shape>-?\d+(?:, -?\d+){1,4})\]' is invalid for input of size (?P<size>\d{1,12})")
_GROUPS = re.compile(
    r"\.(?:view|reshape)\([^\n]*?(?P<name>num_generations\w*|num_return_sequences|group_size|n_samples_per_prompt|"
    r"num_samples_per_prompt|n_rollouts?|rollout_n)\b"
)


def of_groups(exception: str, message: str, before: str) -> Explained | None:
    """None where no line of code right above the error makes groups of a setting's size."""
    found = _INVALID.search(message) if exception == "RuntimeError" else None
    code = None if found is None else _GROUPS.search("\n".join(code_lines(before, within=12)[-3:]))
    if found is None or code is None:
        return None
    name, group = code["name"], found["shape"].split(", ")[-1]
    says = (
        f"the trainer puts its rows into groups of `{name}` ({group}), and all processes together hold {found['size']} "
        "at a step: the groups are not whole"
    )
    return Explained("settings-refused", says, (
        f"make per_device_train_batch_size times the number of processes a multiple of `{name}`, or lower `{name}`",
    ))  # fmt: skip
