"""Recipes of trainers that start from YAML: Axolotl's and LLaMA-Factory's files, by the keys that only they have. Pure.

The files are a stranger's and may be anything; only top-level keys are looked at, line by line, without a YAML parser.
"""

from __future__ import annotations

import re

_KEY = re.compile(r"^([A-Za-z_][\w-]{0,60})[ \t]*:(?:\s|$)", re.MULTILINE)
_LIMIT = 200_000  # characters; the longest recipes have some hundred lines
# Keys that a recipe of the trainer has together. LLaMA-Factory's Web UI prefixes its own with `train.`.
_SIGNS: dict[str, tuple[frozenset[str], ...]] = {
    "axolotl": (
        frozenset({"base_model", "datasets", "sequence_len"}),
        frozenset({"base_model", "micro_batch_size", "val_set_size"}),
    ),
    "llamafactory": (
        frozenset({"model_name_or_path", "stage", "finetuning_type"}),
        frozenset({"model_name_or_path", "cutoff_len", "template"}),
    ),
}


def trainer_of_recipe(text: str) -> str | None:
    """The trainer whose recipe a YAML text is; None for any other."""
    keys = frozenset(_KEY.findall(text[:_LIMIT]))
    return next((trainer for trainer, signs in _SIGNS.items() if any(one <= keys for one in signs)), None)
