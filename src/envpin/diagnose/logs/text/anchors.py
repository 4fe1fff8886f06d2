"""What a line has to hold before frames and messages are asked of it: known without the modules that answer."""

from __future__ import annotations

import re

FRAME_ANCHORS = (
    "TypeError: ",
    "AttributeError: ",
    "cannot import name '",
    "No module named '",
    "PydanticImportError: ",
    "PydanticUserError: ",
    "You tried to access openai.",
    " values to unpack",
    "NameError: ",
    "UnboundLocalError: ",
)
# What the lines before may explain: of a call that does not fit, of rows of data, of a folder that cannot be written.
CONTEXT_ANCHORS = (
    *FRAME_ANCHORS, "KeyError: ", "StopIteration", "PermissionError: ", "FileExistsError: ",
    "NotADirectoryError: ", "FileNotFoundError: ", "OSError: [Errno ", "IndexError: ", "non-existent directory",
    "(os error ", "did not contain valid UTF-8", "\": No such file or directory", "\": Is a directory",
    "\": Permission denied",
    "either `text` or `text_target`", "Unable to configure handler '", "invalid choice: '", "supported commands, got ",
)  # fmt: skip
# What may show a model of another kind, or a file that hides a package.
KIND_ANCHORS = (
    "object has no attribute", "got an unexpected keyword argument", "NoneType", " None ", "not None", "KeyError: None",
    "upport", "not implemented", "AssertionError", "You are using a model of type", "NotImplementedError: <class",
    "'bool' object", "tuple index out of range", "to match target batch_size (", "cannot import name '",
    "module '",
)  # fmt: skip
# Of the lines before the error: a traceback has up to four lines for each of its last frames.
FRAMES_NEAR = 14
RAISED_ANCHORS = ("Error: ", "Exception: ", "AssertionError", "EOFError")
# A traceback of a server repeats its prefix on each line and has two to three lines for each frame.
RAISED_NEAR = 40
# Above a failed request for a file of the Hub up to forty frames of HTTP libraries stand.
HUB_NEAR = 200
# Of a log without such a line, what complains all the same.
COMPLAINT_ANCHORS = (
    "rror: ", "ERROR", "No module named ", "ailed to ", "annot ", "an't ", "not found", "unavailable", "ncompatible",
    "is required", "got an unexpected ",
)  # fmt: skip
# What a program says by itself of a path; only at the end of a log does it tell why the program ended.
LOST_ANCHORS = (
    "not found", "NOT found", "NOT FOUND", "not exist", "n't exist", " found in", "issing",
    "o such file", "annot find", "not find", "'t find", " gefunden", "dapter found", "LoRA found",
    "不存在", "未找到", "找不到", "没有找到", "无法找到",
)  # fmt: skip
# What such a line says where the run goes on without what it misses.
GOES_ON = re.compile(
    r"(?i)fall(?:s|ing)? back|consider install|will be (?:used|ignored)|ignor(?:ed|ing)|skipp?(?:ed|ing)\b|optional|"
    r"Could not reach the Hub \(|won't be available"
)
