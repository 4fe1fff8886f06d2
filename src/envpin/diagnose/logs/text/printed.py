"""Tracebacks as notebooks, rich, pytest, loguru and loggers print them, put into Python's own form. Pure.

So every rule needs to know one form only. A line stays a line: what a form says in more lines than Python leaves empty
ones before the traceback, where they push nothing away, and the number of each error's line holds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.text.unwrapped import unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable

_HEAD = "Traceback (most recent call last):"
_SAYS_SO = b"(most recent call last)"
# A notebook's cell, and a terminal's input: code of the one who runs it.
_CELL = "./notebook.py"
_NAME = r"(?:[\w.]+\.)?\w*(?:Error|Exception|Exit|Interrupt|Iteration|Warning)\w*"
# How many lines one traceback may have.
_LONGEST = 3_000

_OF_A_NOTEBOOK = re.compile(rf"^(?P<name>{_NAME}) +Traceback \(most recent call last\):?[ \t]*$")
_BEGINS = re.compile(rf"(?:{_NAME} +)?Traceback \(most|╭─+ Traceback \(most")
_CELL_FRAME = re.compile(
    r"^(?:Cell|Input) In ?\[\d+\](?:, line (?P<line>\d+))?(?:, in (?P<function>[^\n(]+).*)?[ \t]*$|"
    r"^<ipython-input-[\w-]+>(?::(?P<old_line>\d+))?,? in (?P<old>[^\n(]+).*$|"
    r"^\S*[/\\]ipykernel_\d+[/\\]\d+\.py in (?P<kernel>[^\n(]+).*$"
)
_NOTEBOOK_FRAME = re.compile(
    r"^(?:File )?\[?(?P<path>\S[^\n\"<>\[\]]*?\.(?:py|pyx|pxi))(?:\]\(\S+?\))?(?::(?P<line>\d+)(?:\]\(\S+?\))?,?)? in "
    r"(?P<function>[\w.<>]+)"
)
_MODULE_FRAME = re.compile(r"^File (?P<path>\S[^\n\"<>\[\]]*?\.py):(?P<line>\d+)[ \t]*$")
_SAID = re.compile(rf"^{_NAME}: \S")
_ARROW = re.compile(r"^-{2,}> ?(?P<line>\d+) (?P<code>.*)$")
_BOX = re.compile(r"^╭─+ Traceback \(most recent call last\) ─+╮[ \t]*$")
_ROW = re.compile(r"^│ (?P<row>.*?)[ \t]*│[ \t]*$")
_BOX_FRAME = re.compile(r"^(?P<path>\S.*?):(?P<line>\d+) ?in (?P<function>\S.*)$")
_BOX_CELL = re.compile(r"^in (?P<function>\S.*?):(?P<line>\d+)$")
_BOX_CODE = re.compile(r"^❱ *(?P<line>\d+) (?P<code>.*)$")
_OTHER_CODE = re.compile(r"^ +\d+ |^ +\d+$")
_GUIDES = re.compile(r"^(?:[│ ] {0,3})*")
_PYTEST_PLACE = re.compile(rf"^(?P<path>\S+\.py):(?P<line>\d+): (?P<rest>(?:in (?P<function>\S+))|(?:{_NAME})?)[ \t]*$")
# What a shell says after a command that ended: a line of its own, however long the one before it is.
_OF_A_SHELL = re.compile(r"[\w./-]{1,200}: line \d+: ")
_PYTEST_DEF = re.compile(r"^ *(?:async )?def (?P<function>\w+)\(")
_PYTEST_EDGE = re.compile(r"^(?:_{3,} .*_{3,}|(?:_ ){10,}_?)[ \t]*$")
_LOGURU_MARK = re.compile(r"^[ \t]*(?:│[ \t]*)*[└│](?: |$)")
_WINDOWS = re.compile(r'(?m)^([ \t>]*File ")([A-Za-z]:\\[^"\n]{1,400}|\\\\[^"\n]{1,400})(", line \d+)')


def as_python_prints(block: bytes) -> bytes:
    """A block of lines with the tracebacks in it as Python prints them, behind no prefix."""
    block = unwrapped(block)
    if _SAYS_SO not in block and b".py:" not in block:
        return block
    text = block.decode("utf-8", "surrogateescape")
    for says, form in _FORMS:
        if says in text:
            text = form(text)
    return text.encode("utf-8", "surrogateescape")


def _by_lines(at_line: Callable[[list[str], int], tuple[list[str], int] | None], text: str, says: str) -> str:
    """The text with what `at_line` makes of the lines from one on that holds `says`: the new ones, and how many were
    read."""
    lines = text.split("\n")
    at, new = 0, lines[:0]
    while at < len(lines):
        made = at_line(lines, at) if says in lines[at] else None
        if made is None:
            new.append(lines[at])
            at += 1
            continue
        new += made[0]
        at += made[1]
    return "\n".join(new)


def _filled(made: list[str], count: int) -> list[str]:
    """Lines after as many empty ones as make `count`."""
    return [""] * (count - len(made)) + made[max(0, len(made) - count) :]


def _frame(path: str, line: str, function: str) -> str:
    return f'  File "{path}", line {line}, in {function.strip()}'


def _without_prefixes(text: str) -> str:
    return _by_lines(_prefixed_at, text, "(most recent call last)")


def _prefixed_at(lines: list[str], at: int) -> tuple[list[str], int] | None:
    """A traceback each of whose lines stands behind the same words, but for their numbers."""
    found = _BEGINS.search(lines[at])
    prefix = lines[at][: found.start()] if found is not None else ""
    if not prefix.strip() or len(prefix) > 150 or at + 1 >= len(lines):
        return None
    kind = re.compile(re.sub(r"(?:\\\.)?\d+", r"[\\d.]*", re.escape(prefix.rstrip())) + r" ?")
    made: list[str] = []
    for line in (lines[one] for one in range(at, min(at + _LONGEST, len(lines)))):
        start = kind.match(line)
        if start is None:
            break
        made.append(line[min(start.end(), len(line)) :])
    return (made, len(made)) if len(made) > 1 else None


def _notebooks(text: str) -> str:
    return _by_lines(_notebook_at, text, "Traceback (most recent call last)")


def _notebook_at(lines: list[str], at: int) -> tuple[list[str], int] | None:
    head = _OF_A_NOTEBOOK.match(lines[at])
    if head is None:
        return None
    end = _end_of(lines, at + 1, head["name"])
    made = [lines[at]]  # what is cut off before its error names it here alone
    waiting: str | None = None
    for line in lines[at + 1 : end]:
        if (arrow := _ARROW.match(line)) is not None:
            made += [_frame(_CELL, arrow["line"], waiting)] if waiting else []
            made.append(f"    {arrow['code'].strip()}")
            waiting = None
        elif (cell := _CELL_FRAME.match(line)) is not None:
            waiting = next(filter(None, cell.group("function", "old", "kernel")), "<module>").strip()
        elif (frame := _NOTEBOOK_FRAME.match(line)) is not None:
            made.append(_frame(frame["path"], frame["line"] or "1", frame["function"]))
            waiting = None
        elif (frame := _MODULE_FRAME.match(line)) is not None:
            made.append(_frame(frame["path"], frame["line"], "<module>"))
            waiting = None
    return _filled(made, end - at), end - at


def _end_of(lines: list[str], first: int, name: str) -> int:
    """Where the error of a name stands, another traceback begins, or, of a text that was cut or put together, another
    error or what is no part of a traceback."""
    last = min(first + _LONGEST, len(lines))
    for at in range(first, last):
        line = lines[at]
        if line.startswith(name) and (len(line) == len(name) or line[len(name)] in ": "):
            return at
        if line.endswith("(most recent call last)"):
            return at
    other = (at for at in range(first, last) if _SAID.match(lines[at]) is not None)
    return next(other, 1 + max((at for at in range(first, last) if _is_of_a_notebook(lines[at])), default=first - 1))


def _is_of_a_notebook(line: str) -> bool:
    """Whether a line is a frame of a notebook's traceback, or code of one."""
    forms = (_ARROW, _CELL_FRAME, _NOTEBOOK_FRAME, _MODULE_FRAME, _OTHER_CODE)
    return any(form.match(line) is not None for form in forms)


def _boxes(text: str) -> str:
    return _by_lines(_box_at, text, "╭─")


def _box_at(lines: list[str], at: int) -> tuple[list[str], int] | None:
    if _BOX.match(lines[at]) is None:
        return None
    rows, end = [], at + 1
    while end < len(lines) and (row := _ROW.match(lines[end])) is not None and end - at < _LONGEST:
        rows.append(row["row"])
        end += 1
    if end < len(lines) and lines[end].startswith("╰"):
        end += 1
    made = [_HEAD, *_of_rows(rows, len(lines[at].rstrip()) - 4)]
    error = _unbroken(lines, end, len(lines[at].rstrip()))
    return _filled(made, end - at) + error, end - at + len(error)


def _of_rows(rows: list[str], width: int) -> list[str]:
    """The frames and their code lines of the rows of a box."""
    made: list[str] = []
    last = ""
    path, in_code = "", False
    for row in [*rows, ""]:
        if path and not (row and row[0] not in "❱╭│╰" and _OTHER_CODE.match(row) is None):
            made += _of_place(path)
            path = ""
        if (code := _BOX_CODE.match(row)) is not None:
            made.append("    " + _GUIDES.sub("", code["code"]).strip())
        elif in_code and row.startswith(" ") and _OTHER_CODE.match(row) is None:
            made[-1] += _GUIDES.sub("", row.strip())
            continue
        elif row and row[0] not in "╭│╰" and _OTHER_CODE.match(row) is None:
            path += row if not path or len(last) >= width else f" {row.lstrip()}"
        last, in_code = row, code is not None
    return made


def _of_place(path: str) -> list[str]:
    """The frame that rows of a box name."""
    if (frame := _BOX_FRAME.match(path)) is not None:
        return [_frame(frame["path"], frame["line"], frame["function"])]
    cell = _BOX_CELL.match(path)
    return [] if cell is None else [_frame(_CELL, cell["line"], cell["function"])]


def _unbroken(lines: list[str], first: int, width: int) -> list[str]:
    """The lines of an error that a terminal of this width broke, each whole again, with an empty one for each break."""
    made: list[str] = []
    breaks, last = 0, ""
    for at in range(first, min(first + _LONGEST, len(lines))):
        line = lines[at]
        if not line.strip() or line.startswith(("╭", "Traceback")):
            break
        if _is_broken(last, line, width):
            made[-1] = made[-1] + line if len(last) == width else f"{made[-1].rstrip()} {line}"
            breaks += 1
        else:
            made += [*[""] * breaks, line]
            breaks = 0
        last = line
    return [*made, *[""] * breaks]


def _is_broken(last: str, line: str, width: int) -> bool:
    """Whether the first word of a line had no place at the end of the one before it."""
    if not last or line[0].isspace() or len(last) > width + 8 or _OF_A_SHELL.match(line) is not None:
        return False
    return len(last.rstrip()) + 1 + len(line.split(maxsplit=1)[0]) > width


def _pytest(text: str) -> str:
    """Each place that pytest names below the code moves above it."""
    lines = text.split("\n")
    first = None
    for at, line in enumerate(lines):
        if _PYTEST_EDGE.match(line) is not None:
            first = at + 1
        elif first is not None and (place := _PYTEST_PLACE.match(line)) is not None:
            if place["function"]:
                lines[at] = _frame(place["path"], place["line"], place["function"])
                continue
            lines[first : at + 1] = _of_pytest(lines[first:at], place)
            first = None
    return "\n".join(lines)


def _of_pytest(lines: list[str], place: re.Match[str]) -> list[str]:
    """The lines of one frame, of which the last names its place."""
    function = next((found["function"] for one in lines if (found := _PYTEST_DEF.match(one))), "<module>")
    error = [at for at, line in enumerate(lines) if line.startswith("E  ")]
    code = [f"    {line[1:].strip()}" for line in lines if line.startswith(">")]
    last = error[0] if error else len(lines)
    said = [line[1:].removeprefix("       ") if line.startswith("E") else line for line in lines[last:]]
    return [*_filled([_frame(place["path"], place["line"], function), *code[-1:]], last), *said, ""]


def _loguru(text: str) -> str:
    return _by_lines(_loguru_at, text, _HEAD)


def _loguru_at(lines: list[str], at: int) -> tuple[list[str], int] | None:
    """A traceback with an empty line after each frame, and the values under the code."""
    if lines[at].rstrip() != _HEAD or at + 2 >= len(lines) or lines[at + 1].strip() or 'File "' not in lines[at + 2]:
        return None
    end = at + 1
    while end < len(lines) and (not lines[end] or lines[end][0] in " >") and end - at < _LONGEST:
        end += 1
    kept = [line for line in lines[at:end] if line.strip() and _LOGURU_MARK.match(line) is None]
    return _filled([re.sub("^> File", "  File", line) for line in kept], end - at), end - at


def _windows(text: str) -> str:
    return _WINDOWS.sub(lambda found: found[1] + found[2].replace("\\", "/") + found[3], text)


# What a text of each form holds, in the order in which one lies within the other.
_FORMS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("(most recent call last)", _without_prefixes),
    ("╭─", _boxes),
    ("> ", _notebooks),
    ("\nE   ", _pytest),
    (f"{_HEAD}\n\n", _loguru),
    (":\\", _windows),
)
