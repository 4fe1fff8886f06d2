"""Folders that a run cannot write, told by the frames that make or open them. Pure.

The path alone does not tell: a file that is not there is a model, data or a setting; what is made is the run's own.
"""

from __future__ import annotations

import re

from envpin.core.command_text import command_text
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.field import is_named_after_it, shows_the_field
from envpin.diagnose.logs.text.frames import code_lines, frames_of, of_the_stack

_ERROR = re.compile(
    r"(PermissionError|FileExistsError|NotADirectoryError|FileNotFoundError|OSError): \[Errno (\d+)\] [^'\n]{1,60}: "
    r"'(?P<path>[^'\n]{1,400})'"
)
# Calls that write: of a folder, or of a file in it.
_MAKES = re.compile(
    r"makedirs|\bmkdir\b|save_pretrained|save_model|_save\b|save_file|torch\.save|ensure_ascii|json\.dump|"
    r"open\([^\n]{0,200}[\"'][wax]b?\+?[\"']|SummaryWriter|lock_file|copyfile|copy2"
)
# Calls that write one file, by a script or deep in a library: `open` with its mode, or functions that only write.
WRITES = re.compile(
    r"open\w*\([^\n]{0,200}[\"'](?:[wax][bt]?\+?|[wax]\+[bt])[\"']|\.to_(?:csv|json|excel|parquet)\(|\.savefig\(|\bdump\(|"
    r"\.write_(?:text|bytes)\(|\.save\(|\bsave(?:_file|z|z_compressed|txt)\(|np\.save|serialize_file\(|FileHandler\(|"
    r"open_func\(self\.baseFilename|onnx\.export\(|\bimwrite\(|\bsf\.write\(|\.serialize\("
)
# What is not there in the words of libraries that open files by themselves.
_NO_FOLDER = re.compile(
    r"(?:No such file or directory|Cannot save file into a non-existent directory(?=: ['\"][^{]))"
    r"(?:: [\"'](?P<path>[^\"'{\n]{1,400})[\"'])?"
)
_HANDLER = re.compile(r"ValueError: Unable to configure handler '([^'\n]{1,80})'")
# The path that a call of a script writes to.
_WRITTEN = re.compile(r"save\w*\([^\n]{0,80}?[\"']([\w./\\-]+/[\w.-]+)[\"']")
_FRAMES = 8
_WHY = {
    "1": "the system does not permit it", "13": "the user who runs this may not write there",
    "17": "a file of that name is in the way", "20": "a part of the path is a file", "30": "it is read-only",
    "2": "the folder above it is not there, or cannot be written",
}  # fmt: skip
# A file that lies where a folder is to be made.
_IN_THE_WAY = frozenset({"17", "20"})


def explain_folder(line: str, before: str) -> Explained | None:
    """An output folder that cannot be made or written; None where the lines before do not write, or no library of this
    field has a part in it."""
    if (told := _no_folder(line, before) or _no_log_file(line, before)) is not None:
        return told
    found = _ERROR.search(line)
    why = None if found is None else _WHY.get(found[2])
    if found is None or why is None:
        return None
    if not of_the_stack(frames_of(before)):
        return None
    code = [one for one in before.split("\n")[:-1] if not one.lstrip().startswith(("File ", "^", "~"))][-4:]
    if not any(_MAKES.search(one) for one in code):
        return None
    says = f"`{found['path']}`, which the run is to write, cannot be made or written: {why}"
    if found[2] in _IN_THE_WAY:
        return Explained("output-exists", says, ("move that file away, or give another output folder",))
    return Explained("settings-refused", says, (
        "give another folder (`output_dir`, HF_HOME for what is downloaded), or let its owner permit it",
    ))  # fmt: skip


def _no_log_file(line: str, before: str) -> Explained | None:
    """The file of a log for which logging could not be set up; the error of the file itself shows no code of a program,
    so that it could be any."""
    handler = _HANDLER.search(line)
    lost = _NO_FOLDER.search(before)
    if handler is None or lost is None or lost["path"] is None:
        return None
    if not any(is_named_after_it(one.path) for one in frames_of(before)) and not shows_the_field(before.encode()):
        return None
    path = lost["path"].replace("\\", "/")
    folder = path.rpartition("/")[0] or "."
    says = f"the log file `{path}` is to be written (handler `{handler[1]}`), and the folder `{folder}` is not there"
    return Explained("settings-refused", says, (
        f"make it before the run: {command_text('mkdir', '-p', folder)}",
        "or name another file in the settings of logging (`filename` of that handler)",
    ))  # fmt: skip


def _no_folder(line: str, before: str) -> Explained | None:
    """A file that a program of this field is to write, in a folder that is not there."""
    found = _NO_FOLDER.search(line)
    if found is None:
        return None
    frames = frames_of(before)
    of_it = of_the_stack(frames) or any(is_named_after_it(one.path) for one in frames)
    if not of_it and not shows_the_field(before.encode()):
        return None
    code = code_lines(before)[-_FRAMES:]
    if not any(WRITES.search(one) for one in code):
        return None
    path = found["path"] or next(iter(_WRITTEN.findall("\n".join(code))), None)
    if path is None:
        says, folder = "a file is written into a folder that is not there: writing makes files, no folders", "FOLDER"
    else:
        path = path.replace("\\", "/")
        folder = path if "non-existent directory" in line else path.rpartition("/")[0]
        if not folder:
            return None
        says = f"`{path}` is to be written, and the folder `{folder}` is not there: writing makes files, no folders"
    return Explained("settings-refused", says, (
        f"make it before the run: {command_text('mkdir', '-p', folder)}", "or give a path whose folder is there",
    ))  # fmt: skip
