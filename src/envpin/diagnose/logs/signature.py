"""The form of one signature: how an error announces itself in a log."""

from __future__ import annotations

from typing import NamedTuple


class Signature(NamedTuple):
    """A line that holds `anchor` and matches `pattern` speaks of `code`.

    `anchor` is a literal that a search over raw bytes finds fast. `sample` is a real line, `source` where it was read.
    `after` names a text that one of the ten lines before has to hold, where the line alone is too common; `unless` is a
    pattern, and `unless_after` a text in the ten lines before, that speaks against it. `severity` differs from the
    catalogue's for lines that only warn. In a pattern, FIELDS stands for the names of peft's configuration fields,
    MODEL_TYPES for the model types that transformers ever knew, and REMOVED_TYPES for those that it no longer knows.
    """

    code: str
    anchor: str
    pattern: str
    sample: str
    source: str
    after: str | None = None
    severity: str | None = None
    unless: str | None = None
    unless_after: str | None = None
