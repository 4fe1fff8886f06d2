"""Every `envpin …` command that our pages name, in blocks, transcripts and prose, split as a shell would."""

from __future__ import annotations

import re
import shlex
import textwrap
from dataclasses import dataclass

from tests.support.places import ROOT

# What was changed long ago, and decisions, name commands as they were.
PAGES = [
    *(path for path in sorted(ROOT.glob("*.md")) if path.name != "CHANGELOG.md"),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name != "adr"),
]
_FENCED = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^(?: {4}|\t)\S[^\n]*\n)+", re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_OPTION = re.compile(r"--[a-z][a-z0-9_-]*")
# What may precede it in a line: nothing, a prompt, another command, or one that runs it.
_START = re.compile(r"(?:^|\$ |&& |; |\| |IMAGE |--ntasks=1 |--from \. |-- )envpin (?=\S)")
_SHELL = re.compile(r"[;|&<>()]+|\d?>+")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownCommand:
    """The words after `envpin`. One of a block is whole; one of the prose may leave out arguments."""

    page: str
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def shown_commands(page: str, text: str) -> list[ShownCommand]:
    """Those of a page's text: of its blocks, then of its prose."""
    prose = _FENCED.sub("\n", text)
    blocks = [*_FENCED.findall(text), *(("", block) for block in _INDENTED.findall(prose))]
    found = [
        ShownCommand(page=page, words=words, whole="…" not in line and "[" not in line)
        for language, block in blocks
        for line in re.sub(r"\\\n\s*", "", block).splitlines()
        if language != "console" or line.startswith("$ ")
        for words in _after_envpin(line.strip())
    ]
    return found + [
        ShownCommand(page=page, words=words, whole=False)
        for code in inline(text)
        if code.startswith("envpin ")
        for words in _after_envpin(code)
    ]


def scripts(text: str) -> list[str]:
    """The blocks of a page that are typed into one shell: indented ones, and fenced ones of a shell's language."""
    fenced = [block for language, block in _FENCED.findall(text) if language in {"bash", "sh"}]
    return [textwrap.dedent(block) for block in _INDENTED.findall(_FENCED.sub("\n", text))] + fenced


def shown_options(text: str) -> list[str]:
    """Options that the prose of a page names by themselves, as `--offline` or `--steps 20`."""
    return [option[0] for code in inline(text) if (option := _OPTION.match(code))]


def inline(text: str) -> list[str]:
    """Code in the prose, each on one line."""
    prose = _INDENTED.sub("\n", _FENCED.sub("\n", text))
    return [" ".join(code.split()) for code in _INLINE.findall(prose)]


def _after_envpin(line: str) -> list[tuple[str, ...]]:
    """The arguments of each envpin in the line: one may run another."""
    found = []
    for start in _START.finditer(line):
        lexer = shlex.shlex(line[start.end() :], posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        end = next((at for at, word in enumerate(words) if _SHELL.fullmatch(word)), len(words))
        if end and words[end - 1].isdigit() and end < len(words) and words[end].startswith(">"):
            end -= 1
        found.append(tuple(words[:end]))
    return found
