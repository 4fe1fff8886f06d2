"""A family held against a model: what is missing, which others it could be, and why it is not one of them."""

from __future__ import annotations

from typing import Any

from envpin.core.resources import data_path
from envpin.matrix.candidates import FamilyCandidate, examine, rivals, why_not
from envpin.matrix.load import load_matrix

MATRIX = load_matrix(data_path("compat_matrix.toml"))
QWEN: dict[str, Any] = {"model_type": "qwen2", "intermediate_size": 18944, "num_hidden_layers": 28}


def candidate(family: str, config: dict[str, Any], name: str | None = None) -> FamilyCandidate:
    return examine(MATRIX.families[family], config, name)


def test_examine_says_what_the_config_has_instead_of_a_sign() -> None:
    (missing,) = candidate("llama3.1", {"model_type": "llama"}).missing
    assert missing == "`rope_scaling.rope_type` is absent, not llama3"


def test_a_family_told_only_by_its_name_is_missing_without_it() -> None:
    assert candidate("qwq", QWEN).missing
    assert candidate("qwq", QWEN, "Qwen/QwQ-32B").missing == ()


def test_rivals_are_those_that_fit_as_well_and_those_that_only_a_name_tells() -> None:
    best, other, copy = (candidate(one, QWEN) for one in ("qwen2.5", "qwen2", "qwq"))
    assert rivals(best, [best, other], [best, other, copy]) == (["qwen2"], ["qwq"])


def test_why_not_names_the_deciding_difference() -> None:
    narrow = candidate("llama3.1", {"model_type": "llama", "rope_scaling": {"rope_type": "llama3", "factor": 8.0}})
    wide = candidate("llama", {"model_type": "llama"})
    assert why_not(wide, narrow) == "fits too, but says less"
    assert why_not(candidate("qwen2", QWEN), candidate("qwen2.5", QWEN, "Qwen2.5-7B")) == "fits too; the name decides"
    assert why_not(candidate("llama3", {"model_type": "llama"}), narrow).startswith("`")
