"""The module that every Python of a run imports at its start."""

from __future__ import annotations

import re

from envpin.recording.injected import HOOK


def test_the_start_of_the_hook_is_syntax_of_every_python() -> None:
    """A Python 2.7 of the run must read it without a word: no annotations, f-strings or keyword-only arguments."""
    source = (HOOK / "sitecustomize.py").read_text(encoding="utf-8")
    assert not re.search(r"->|\bf\"|\bf'|, \*,|nonlocal|:=", source)
    source.encode("ascii")
