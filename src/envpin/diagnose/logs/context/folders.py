"""Folders that a run cannot write, told by the frames that make or open them. Pure.

The path alone does not tell: a file that is not there is a model, data or a setting; what is made is the run's own.
"""

from __future__ import annotations

import re

from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of, of_the_stack

_ERROR = re.compile(
    r"(PermissionError|FileExistsError|NotADirectoryError|FileNotFoundError|OSError): \[Errno (\d+)\] [^'\n]{1,60}: "
    r"'(?P<path>[^'\n]{1,400})'"
)
# Calls that write: of a folder, or of a file in it.
_MAKES = re.compile(
    r"makedirs|\bmkdir\b|save_pretrained|save_model|_save\b|save_file|torch\.save|ensure_ascii|json\.dump|"
    r"open\([^\n]{0,200}[\"'][wax]b?\+?[\"']|SummaryWriter|lock_file|copyfile|copy2"
)
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
    if found is None or why is None or not of_the_stack(frames_of(before)):
        return None
    code = [one for one in before.split("\n")[:-1] if not one.lstrip().startswith(("File ", "^", "~"))][-4:]
    if not any(_MAKES.search(one) for one in code):
        return None
    says = f"`{found['path']}`, which the run is to write, cannot be made or written: {why}"
    return Explained("settings-refused", says, (
        "give another folder (`output_dir`, HF_HOME for what is downloaded), or let its owner permit it",
    ))  # fmt: skip
