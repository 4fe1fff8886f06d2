"""Gather what a folder shows of its trainer (see `infer.trainers`). Small files only, each bounded in size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core import json_input
from envpin.core.text_input import read_beginning
from envpin.inference.pickle_names import class_paths
from envpin.inference.recipes import trainer_of_recipe
from envpin.inference.trainers import Traces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.core.place import Place

# Cards with an embedded training log reach some hundred kB; the front matter and the versions stand within this.
CARD_BYTES = 400_000
DOCUMENTS = ("adapter_config.json", "training_params.json", "args.json", "sft_args.json", "config.json")
# Settings of trainers have some kB; the largest config.json in the wild is under 1 MB.
_DOCUMENT_BYTES = 2_000_000
_RECIPES = 5  # YAML files that are looked into


def read_traces(
    folder: Place, names: Iterable[str], known: Mapping[str, dict[str, object] | None] | None = None
) -> Traces:
    """The traces in a folder whose entries are `names`. Whatever cannot be read is no trace.

    `known` are documents that were read before, by file name; None for one that is no JSON object.
    """
    present = frozenset(names)
    read = known or {}
    documents: dict[str, dict[str, object]] = {name: found for name, found in read.items() if found is not None}
    for name in DOCUMENTS:
        if name in present and name not in read and (document := _document(folder / name)) is not None:
            documents[name] = document
    return Traces(
        folder=folder.name,
        names=present,
        documents=documents,
        card=read_card(folder / "README.md") if "README.md" in present else None,
        recipes=_recipes(folder, present),
        classes=class_paths(folder / "training_args.bin") if "training_args.bin" in present else (),
    )


def _recipes(folder: Place, names: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in sorted(one for one in names if one.endswith((".yml", ".yaml")))[:_RECIPES]:
        try:
            text = read_beginning(folder / name, CARD_BYTES) if (folder / name).is_file() else ""
        except OSError:
            continue
        if (trainer := trainer_of_recipe(text)) is not None:
            found[name] = trainer
    return found


def read_card(path: Place) -> str | None:
    """The text of a model card, up to a bound; None where it cannot be read."""
    try:
        return read_beginning(path, CARD_BYTES) if path.is_file() else None
    except OSError:
        return None


def _document(path: Place) -> dict[str, object] | None:
    try:
        return json_input.read_object(path, limit=_DOCUMENT_BYTES) if path.is_file() else None
    except (OSError, json_input.BadJsonError):
        return None
