"""What lies where a file should be: pointers of tools that keep large files elsewhere, and what a server answered.

A clone without git-lfs, a download without a login and a copy of a link all leave small texts under the right names,
configs as well as weights.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

_LFS = b"version https://git-lfs.github.com/spec/"
_XET = b"# xet version"
_HTML = (b"<!doctype html", b"<html", b"<head", b"<?xml")
_ANNEX = b"annex/objects/"
# What servers answer is one short line, or a page; weights begin with a length or a mark, and so with bytes of no text.
_ANSWER = 2000


class StandIn(NamedTuple):
    """`code` is one of the findings catalogue, `words` say what it is, `size` what a pointer says of the real file."""

    code: Literal["lfs-pointer", "html-instead-of-weights"]
    words: str
    size: str | None = None
    step: str = "git lfs install && git lfs pull, inside the clone"


def stand_in(start: bytes) -> StandIn | None:
    """What the first bytes of a file show instead of what it should be; None where they are of no such text."""
    if start.startswith(_LFS):
        real = next(
            (line[5:].decode("ascii", "replace").strip() for line in start.split(b"\n") if line[:5] == b"size "), None
        )
        return StandIn("lfs-pointer", "a git-lfs pointer", f"{real[:20]} bytes" if real else None)
    if start.startswith(_XET):
        return StandIn("lfs-pointer", "a git-xet pointer", step="fetch the files with git-xet, inside the clone")
    if _ANNEX in start[:300] and start.startswith((b"/annex/", b"../", b".git/")):
        return StandIn("lfs-pointer", "a git-annex pointer", step="git annex get ., inside the clone")
    if start.lstrip().lower().startswith(_HTML):
        return StandIn("html-instead-of-weights", "a web page", step="hf download REPOSITORY (hf auth login first)")
    return None


def answer(data: bytes) -> str | None:
    """The line that a server sent instead of a binary file (`Entry not found`); None where the bytes are no text."""
    if not data.strip() or len(data) > _ANSWER:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    line = " ".join(text.split())
    return line[:80] if line.isprintable() else None
