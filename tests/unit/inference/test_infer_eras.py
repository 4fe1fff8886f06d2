"""Adapters that real releases of peft and the HF Trainer wrote, one per minor of peft: is the truth inferred?

Made by `python -m tests.support.eras`; what the made adapters' own environment was stands in `truth.json`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from envpin.inference.infer import Inferred, judge
from envpin.inference.observe import Observed, observe
from envpin.inference.versions import known_releases, minor
from envpin.matrix.fields import load_fields
from envpin.matrix.load import load_matrix
from envpin.matrix.support import load_support
from tests.support.eras import DATA, ERAS

if TYPE_CHECKING:
    from collections.abc import Callable

KNOWN, SUPPORT, MATRIX = known_releases(), load_support(), load_matrix()


def truth(era: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((DATA / era / "truth.json").read_text())
    return {name: version.partition("+")[0] for name, version in found.items()}


def without_cards(observed: Observed) -> Observed:
    return replace(observed, cards=())


def config_alone(observed: Observed) -> Observed:
    """What is left where only adapter_config.json and the weights were shared, and the base is not here."""
    kept = {"adapter_config": observed.adapter_config, "tensors": observed.tensors}
    traces = replace(observed.traces, card=None, classes=(), names=frozenset({"adapter_config.json"}))
    return Observed(traces=traces, folder=observed.folder, weight_files=observed.weight_files, **kept)  # type: ignore[arg-type]


def without_stated_version(observed: Observed) -> Observed:
    """peft 0.18 and newer write their own version: what do the keys alone tell?"""
    config = {key: value for key, value in (observed.adapter_config or {}).items() if key != "peft_version"}
    return replace(config_alone(observed), adapter_config=config)


VARIANTS: dict[str, Callable[[Observed], Observed]] = {
    "as left": lambda found: found,
    "card gone": without_cards,
    "config alone": config_alone,
    "no version stated": without_stated_version,
}


@cache
def observed(era: str, folder: str) -> Observed:
    return observe(DATA / era / folder)


@cache
def inferred(era: str, folder: str, variant: str) -> Inferred:
    return judge(VARIANTS[variant](observed(era, folder)), KNOWN, SUPPORT, MATRIX)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("folder", ["plain", "run"])
@pytest.mark.parametrize("era", ERAS)
def test_the_truth_is_always_contained(era: str, folder: str, variant: str) -> None:
    found, real = inferred(era, folder, variant), truth(era)
    for package, answer in found.ranges.items():
        assert real[package] in answer.versions, [s for s in found.signals if s.package == package]
    assert found.tells("peft")
    # A config with the keys of 0.18 and no `peft_version` was edited, which is said.
    edited = variant == "no version stated" and "peft_version" in (observed(era, folder).adapter_config or {})
    assert bool(found.contradictions) == edited


@pytest.mark.parametrize(("variant", "width"), [("as left", 1), ("card gone", 1), ("config alone", 1)])
def test_the_median_width_is_one_minor_release(variant: str, width: int) -> None:
    widths = [len(KNOWN["peft"].minors(inferred(era, "plain", variant).ranges["peft"].versions)) for era in ERAS]
    assert len(widths) == 17
    assert median(widths) == width, widths
    assert max(widths) <= 4  # 0.10 to 0.13 wrote the same keys


@pytest.mark.parametrize("era", ERAS)
def test_transformers_is_said_to_be_unknown_where_nothing_tells(era: str) -> None:
    found = inferred(era, "plain", "config alone")
    assert not found.tells("transformers")
    assert found.confidences["transformers"] == "none"
    assert inferred(era, "run", "card gone").tells("transformers")


@pytest.mark.parametrize("era", ERAS)
def test_what_the_trainer_stated_is_pinned(era: str) -> None:
    found, real = inferred(era, "run", "as left"), truth(era)
    assert found.trainer is not None
    assert found.trainer.trainer == "transformers"
    assert found.confidence == "stated"
    first = found.candidates[0].pins
    assert {name: first[name] for name in ("peft", "transformers", "torch")} == {
        name: real[name] for name in ("peft", "transformers", "torch")
    }


@pytest.mark.parametrize("era", ERAS)
def test_training_arguments_alone_place_transformers_within_its_era(era: str) -> None:
    found, real = inferred(era, "run", "card gone"), truth(era)
    width = KNOWN["transformers"].minors(found.ranges["transformers"].versions)
    assert minor(real["transformers"]) in width
    assert len(width) <= 8, width


@pytest.mark.parametrize("era", ERAS)
def test_the_collected_fields_are_those_that_the_release_writes(era: str) -> None:
    """Each config that the real release saved has the keys that were read from its wheel, and no others."""
    written: dict[str, dict[str, Any]] = json.loads((DATA / era / "configs.json").read_text())
    facts = load_fields().packages["peft"]
    at = facts.positions[truth(era)["peft"]]
    assert "LORA" in written
    wrong = {}
    for config in written.values():
        kind = config["peft_type"]  # 0.13 and 0.14 list LORA a second time, as LORAPLUS
        fields = facts.classes[kind].fields
        collected = {name for name, one in fields.items() if any(first <= at <= last for first, last in one.spans)}
        if collected != set(config):
            wrong[kind] = collected ^ set(config)
    assert not wrong


@pytest.mark.parametrize("era", [era for era in ERAS if ERAS[era][1].startswith("4.")])
def test_options_that_a_newer_base_brought_along_mislead_nobody(era: str) -> None:
    """Seen with TRL 0.12.2 on transformers 4.46.3: the tokenizer of a base that 4.57 saved keeps its newer options."""
    found = observed(era, "run")
    config = {"added_tokens_decoder": {}, "extra_special_tokens": {}, "backend": "tokenizers"}
    newer = replace(without_cards(found), tokenizer_config={**config, **(found.tokenizer_config or {})})
    assert truth(era)["transformers"] in judge(newer, KNOWN, SUPPORT, MATRIX).ranges["transformers"].versions
