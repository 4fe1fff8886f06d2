"""Walk through a how-to page: every block of it is typed or taken, in order, and none is left out.

`console` blocks are compared with what they print, as in transcripts; the commands of `sh` blocks have to succeed. What
a reader fills in (a digest, a host) is filled in by `instead`. A program that only another machine has is played by an
executable of its name, which checks what it was called with: `STAND_INS` tells which, where and why, and there are no
others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpin.core import process
from tests.support.places import ROOT
from tests.support.transcripts import matches, printed, transcripts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

HOW_TO = ROOT / "docs" / "how-to"
SHOWN = "/home/ada/run"  # the folder that the pages use
# (page, program): what its stand-in does in place of it, and why there is one.
STAND_INS: dict[tuple[str, str], str] = {
    ("docker.md", "docker"): "no daemon: runs what follows IMAGE on this machine, in the folder that is mounted at -w, "
    "with the variables of -e and a folder for the volume",
    ("docker.md", "pip"): "the image's own pip; that it was asked for uv is checked, and uv is here",
    ("conda.md", "conda"): "no conda: `activate` sets what conda sets, `env create` reads the file's pins and hashes",
    ("cluster.md", "srun"): "no Slurm: runs what follows its options, with two ranks in place of eight",
    ("verify-a-family.md", "pip"): "dask is here already; that it was asked for the extra is checked",
}
_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$|((?:^(?: {4}|\t)\S[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
_TYPED = frozenset({"console", "sh", "bash"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A fenced block of a page, and its language."""

    language: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    """Those of a page's text, in order. One that is only indented is no block of a walked page: fence it."""
    for language, fenced, indented in _BLOCK.findall(page):
        assert not indented, f"fence this block:\n{indented}"
        yield Block(language=language, text=fenced)


class Walk:
    """A reader at one page, in `folder`, in a shell with the variables `env`; exports of a block hold in the next."""

    def __init__(self, page: str, folder: Path, env: Mapping[str, str], *shown: Path | str) -> None:
        self.page, self.folder, self.env = page, folder, dict(env)
        self.shown = (SHOWN, *shown)
        self.left = list(blocks((HOW_TO / page).read_text(encoding="utf-8")))

    def take(self, language: str) -> str:
        """The text of the next block, which is of this language and is not typed."""
        block = self._next()
        assert block.language == language, block
        return block.text

    def type(self, *, instead: Mapping[str, str] | None = None, status: int = 0) -> str:
        """Type the next block, and give what it printed, both streams in their order."""
        block = self._next(instead)
        assert block.language in _TYPED, block
        if block.language == "console":
            return "".join(
                self._compared(one.command, one.expected) for one in transcripts(f"```console\n{block.text}```\n")
            )
        exported = self.folder / ".exported"
        script = f"exec 2>&1\n{block.text}\nenv -0 > {exported}"
        completed = process.run(["bash", "-euc", script], env=self.env, cwd=self.folder)
        assert completed.status == status, f"{self.page}:\n{block.text}\n{completed.stdout}"
        if status == 0:
            self.env = dict(line.split("=", 1) for line in exported.read_text().split("\0") if "=" in line)
            exported.unlink()
        return completed.stdout

    def stand_in(self, program: str, script: str) -> None:
        """Put an executable of bash that plays `program` first on PATH; `STAND_INS` must say why."""
        assert (self.page, program) in STAND_INS, (self.page, program)
        tools = self.folder / ".stand-ins"
        tools.mkdir(exist_ok=True)
        (tools / program).write_text(f"#!/bin/bash\nset -eu\n{script}")
        (tools / program).chmod(0o755)
        if not self.env["PATH"].startswith(f"{tools}:"):
            self.env["PATH"] = f"{tools}:{self.env['PATH']}"

    def function(self, program: str, body: str) -> None:
        """Play `program` by a function of the shell, as conda's own activation does."""
        assert (self.page, program) in STAND_INS, (self.page, program)
        start = self.folder / ".bashrc"
        start.write_text(f"{program}() {{\n{body}}}\n")
        self.env["BASH_ENV"] = str(start)

    def end(self) -> None:
        """Nothing of the page is left."""
        assert self.left == [], f"{self.page}: not typed: {self.left}"

    def _next(self, instead: Mapping[str, str] | None = None) -> Block:
        assert self.left, f"{self.page} has no block left"
        block = self.left.pop(0)
        text = block.text
        for word, other in (instead or {}).items():
            assert word in text, f"{self.page}: no `{word}` in\n{text}"
            text = text.replace(word, other)
        return Block(language=block.language, text=text)

    def _compared(self, command: str, expected: str) -> str:
        actual = printed(command, self.folder, self.env)
        assert matches(expected, actual, self.folder, *self.shown), (
            f"{self.page}: $ {command}\n{actual}\nexpected:\n{expected}"
        )
        return actual
