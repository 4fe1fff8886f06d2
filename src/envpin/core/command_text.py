"""Commands as text, for people to paste into a shell: the one door for every hint, fix and report that shows one.

A folder of a stranger's may be called anything, and so may a package in a log; pasted, it must be one word.
"""

from __future__ import annotations

import shlex


def command_text(*words: object) -> str:
    """These words as one command. Splitting it as a shell does gives the words back, whatever is in them; and there is
    nothing in it that a terminal would obey, or that breaks the line."""
    return " ".join(map(_quoted, words))


def _quoted(word: object) -> str:
    text = str(word)
    if text.isprintable():
        return shlex.quote(text)
    # https://www.gnu.org/software/bash/manual/html_node/ANSI_002dC-Quoting.html, which zsh and ksh know as well
    return "$'" + "".join(_escaped(letter) for letter in text) + "'"


def _escaped(letter: str) -> str:
    if letter in "'\\":
        return "\\" + letter
    if letter.isprintable():
        return letter
    # A lone surrogate stands for a byte of a name that is no text (`os.fsdecode`).
    surrogate = "\udc80" <= letter <= "\udcff"
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape" if surrogate else "replace"))
