"""Transcripts in our pages: run their commands as written, and hold what they print against what the page shows.

A transcript is a fenced block of `console`. `$ ` starts a command for bash, the lines up to the next one are its
output, stdout and stderr as a terminal shows them, and a line `…` stands for any number of lines. What differs from run
to run (paths, times, the last digits of measurements, where a line is wrapped) is left out of the comparison.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpin.core import process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = (
    (re.compile(r"/\S*?/environments/[0-9a-f]{24}"), "ENVIRONMENT"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:\+00:00|Z)"), "TIME"),
    (re.compile(r"\d+\.\d+(?:e-\d+)? of what"), "N of what"),
    (re.compile(r"= \d\S* / \d\S* = \d\S*"), "= N / N = N"),
    (re.compile(r"(?:, | in )\d+(?:\.\d+)? s\b"), ""),
    (re.compile(r"rounding alone explains \d[\d.e-]*"), "rounding alone explains N"),
    (re.compile(r"\bline \d+:"), "line N:"),
    (re.compile(r"[─┼│]+"), " "),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Transcript:
    """One command of a page, and the lines that it is shown to print."""

    command: str
    expected: str


def transcripts(page: str) -> list[Transcript]:
    """Every command of the page's console blocks, in order."""
    found = []
    for block in _BLOCK.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            found.append(Transcript(command=command, expected=expected))
    return found


def follow(page: Path, folder: Path, env: Mapping[str, str], *shown: Path | str) -> None:
    """Run every command of the page in `folder`; each must print what the page shows, where `shown` are its folders."""
    found = transcripts(page.read_text(encoding="utf-8"))
    assert found
    for one in found:
        actual = printed(one.command, folder, env)
        assert matches(one.expected, actual, folder, *shown), (
            f"{page.name}: $ {one.command}\n{actual}\nexpected:\n{one.expected}"
        )


def printed(command: str, folder: Path, env: Mapping[str, str]) -> str:
    """What bash prints for it in `folder`, both streams in their order."""
    return process.run(["bash", "-c", f"exec 2>&1; {command}"], env=env, cwd=folder).stdout


def matches(expected: str, actual: str, *folders: Path | str) -> bool:
    """Whether that is what the page shows, where each of `folders` may be the other's."""
    parts = [_words(part, folders) for part in re.split(r"^…$", expected, flags=re.MULTILINE)]
    pattern = r"(?:[^\n]*\n)*".join(re.escape(part) for part in parts)
    return re.fullmatch(pattern, _words(actual, folders)) is not None


def _words(text: str, folders: tuple[Path | str, ...]) -> str:
    """One word a line, so that it does not matter where the terminal wrapped."""
    for folder in folders:
        text = text.replace(str(folder), "FOLDER")
    for varying, instead in _VARYING:
        text = varying.sub(instead, text)
    return "".join(f"{word}\n" for word in text.split())
