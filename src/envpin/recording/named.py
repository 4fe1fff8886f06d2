"""The files that a command names: a launcher, a script of the shell, a configuration, rows. Digested before it runs."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.files import digest_of_file
from envpin.recording.injected import hook

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# The run waits for this: ten milliseconds at most.
_BYTES = 8 * 1024 * 1024
_WORDS = 200


def named_files(argv: Sequence[str], directory: Path) -> dict[str, str]:
    """sha256 of each file of `directory`, or below it, that a word of `argv` names; the path relative to it is the key.

    Large ones are left out, and those with a secret in their names. Never raises for what a word may be.
    """
    found: dict[str, str] = {}
    left = _BYTES
    text = hook("redaction").text
    for word in _words(argv[:_WORDS]):
        try:
            path = Path(os.path.normpath(directory / word))
            if not path.is_relative_to(directory):
                continue
            status = path.stat()
            name = os.path.relpath(path, directory)
            if text(name) == name and name not in found and stat.S_ISREG(status.st_mode) and status.st_size <= left:
                left -= status.st_size
                found[name] = digest_of_file(path)
        except (OSError, ValueError):
            continue
    return found


def _words(argv: Sequence[str]) -> Iterator[str]:
    """Each argument, and what follows its first `=`."""
    for word in argv:
        yield word
        if "=" in word:
            yield word.partition("=")[2]
