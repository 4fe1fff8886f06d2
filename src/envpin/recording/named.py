"""The files that a command names: a launcher, a script of the shell, a configuration, rows. Digested before it runs."""

from __future__ import annotations

import os
import re
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
# Outside of the directory: no interpreter, library or program, which are no files of this run.
_TEXT = re.compile(r"\.(?:py|sh|ya?ml|json|jsonl|toml|cfg|ini|conf|txt|csv|tsv|parquet|arrow|jinja2?|ipynb|env)$")


def named_files(argv: Sequence[str], directory: Path) -> dict[str, str]:
    """sha256 of each file that a word of `argv` names. The key is the path relative to `directory`; of a file outside
    of it, and of those only text counts, as it was named: by `../` or whole.

    Large ones are left out, and those with a secret in their names. Never raises for what a word may be.
    """
    found: dict[str, str] = {}
    left = _BYTES
    text = hook("redaction").text
    for word in _words(argv[:_WORDS]):
        try:
            path = Path(os.path.normpath(directory / word))
            inside = path.is_relative_to(directory)
            if not inside and _TEXT.search(path.name) is None:
                continue
            status = path.stat()
            name = os.path.relpath(path, directory) if inside or not Path(word).is_absolute() else str(path)
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
