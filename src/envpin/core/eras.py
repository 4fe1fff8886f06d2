"""The time that versions come from: how long after a release its companions are there, and which Python fitted it."""

from __future__ import annotations

# Companions of a release (tokenizers, accelerate, …) often follow it by a few days: what pins leave open is resolved as
# of a week after the newest of them.
COMPANION_DAYS = 7
# Within three weeks, 87 % of the minor series of transformers and 82 % of peft's had their last patch (47 and 11 series
# with patches, counted on 2026-11-28 from matrix/fields.json): companions of that day fit, later ones may not.
SETTLING_DAYS = 21
# torch 2.0.0, the first with wheels for Python 3.11, which is the one that nearly every later release has wheels for.
FIRST_TORCH_FOR_PYTHON_311 = "2023-03-15"


def python_of(day: str) -> str:
    """The Python that most wheels of a day (`2023-03-15`) are for."""
    return "3.11" if day >= FIRST_TORCH_FOR_PYTHON_311 else "3.9"
