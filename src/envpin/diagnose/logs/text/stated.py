"""What a log says of the transformers that ran, against what an answer would ask for. Pure."""

from __future__ import annotations

import re

from envpin.diagnose.logs.text.blocks import lines_with

_ANCHORS = (b"transformers==", b"transformers  ", b"ransformers version: ", b"`transformers` version: ")
_STATED = re.compile(r"(?i)^[\s\"'*>-]*`?transformers`?(?:==| +| version: )(\d+\.\d+\.\d+)(?![\w.])")
_NEEDED = re.compile(r"knows `\S+` from (\d+\.\d+\.\d+) on")


def stated_in(block: bytes) -> set[tuple[int, ...]]:
    """The releases of transformers that a block names as installed."""
    found = (_STATED.search(text) for anchor in _ANCHORS for _, text in lines_with(block, anchor))
    return {_numbers(one[1]) for one in found if one is not None}


def is_new_enough(says: str, stated: set[tuple[int, ...]]) -> bool:
    """The log names one transformers, and that is as new as the answer would ask for: it is not the cause."""
    needed = _NEEDED.search(says)
    return needed is not None and bool(stated) and min(stated) >= _numbers(needed[1])


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))
