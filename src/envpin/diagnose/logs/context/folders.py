"""Folders that a run cannot write, told by the frames that make or open them. Pure.

The path alone does not tell: a file that is not there is a model, data or a setting; what is made is the run's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.field import is_named_after_it
from envpin.diagnose.logs.text.frames import code_lines, frames_of, is_own, of_the_stack

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_ERROR = re.compile(
    r"(PermissionError|FileExistsError|NotADirectoryError|FileNotFoundError|OSError): \[Errno (\d+)\] [^'\n]{1,60}: "
    r"'(?P<path>[^'\n]{1,400})'"
)
# Calls that write: of a folder, or of a file in it.
_MAKES = re.compile(
    r"makedirs|\bmkdir\b|save_pretrained|save_model|_save\b|save_file|torch\.save|ensure_ascii|json\.dump|"
    r"open\([^\n]{0,200}[\"'][wax]b?\+?[\"']|SummaryWriter|lock_file|copyfile|copy2"
)
_OPENS = re.compile(r"\bopen\([^\n]{0,200}[\"'][wax]b?\+?[\"']")
_WHY = {
    "1": "the system does not permit it", "13": "the user who runs this may not write there",
    "17": "a file of that name is in the way", "20": "a part of the path is a file", "30": "it is read-only",
    "2": "the folder above it is not there, or cannot be written",
}  # fmt: skip


def explain_folder(line: str, before: str) -> Explained | None:
    """An output folder that cannot be made or written; None where the lines before do not write, or no library of this
    field has a part in it."""
    found = _ERROR.search(line)
    why = None if found is None else _WHY.get(found[2])
    if found is None or why is None:
        return None
    if not of_the_stack(frames := frames_of(before)):
        return _of_a_script(found, before, frames)
    code = [one for one in before.split("\n")[:-1] if not one.lstrip().startswith(("File ", "^", "~"))][-4:]
    if not any(_MAKES.search(one) for one in code):
        return None
    says = f"`{found['path']}`, which the run is to write, cannot be made or written: {why}"
    return Explained("settings-refused", says, (
        "give another folder (`output_dir`, HF_HOME for what is downloaded), or let its owner permit it",
    ))  # fmt: skip


def _of_a_script(found: re.Match[str], before: str, frames: list[Frame]) -> Explained | None:
    """A file that a script of this field opens to write, in a folder that is not there."""
    folder, _, name = found["path"].replace("\\", "/").rpartition("/")
    if found[2] != "2" or not folder or not frames or not is_own(frames[-1]):
        return None
    if _OPENS.search("\n".join(code_lines(before)[-2:])) is None or not any(
        is_named_after_it(one.path) for one in frames
    ):
        return None
    says = (
        f"the script writes `{name}` into the folder `{folder}`, and that is not there: open() makes files, no folders"
    )
    return Explained("data-not-as-expected", says, (
        f"make it, where the command runs: {command_text('mkdir', '-p', folder)}",
    ))  # fmt: skip
