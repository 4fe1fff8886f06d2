"""Cases of adapters that people committed, rebuilt (tests/data/cases/infer): what must be proposed, and what never."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envpin.inference.infer import Inferred, infer
from envpin.matrix.load import load_matrix
from tests.support.places import DATA

if TYPE_CHECKING:
    from pathlib import Path

CASES = DATA / "cases" / "infer"


def case(name: str) -> Inferred:
    return infer(CASES / name / "adapter")


@pytest.mark.parametrize(("name", "floor"), [("family-needs", "4.49.0"), ("family-needs-llama31", "4.43.1")])
def test_no_candidate_is_below_what_the_recognised_family_needs(name: str, floor: str) -> None:
    found = case(name)
    assert found.candidates
    assert all(Version(one.pins["transformers"]) >= Version(floor) for one in found.candidates)
    assert not found.tells("transformers")  # the base's name is no sign of this run


@pytest.mark.parametrize("own_code", [True, False])
def test_a_base_that_brought_its_own_code_needs_no_release_for_it(tmp_path: Path, own_code: bool) -> None:
    # GowthamNats/MicrosoftPhi1_5_finetuned-, trained under transformers 4.33.3, before `phi` was in it
    adapter = {"base_model_name_or_path": "microsoft/phi-1_5", "peft_type": "LORA", "r": 16, "target_modules": ["Wqkv"]}
    config = {"_name_or_path": "microsoft/phi-1_5", "model_type": "mixformer-sequential"}
    code = {"auto_map": {"AutoConfig": "microsoft/phi-1_5--configuration_mixformer_sequential.MixFormerConfig"}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    (tmp_path / "config.json").write_text(json.dumps(config | code if own_code else config))
    found = infer(tmp_path)
    assert ("4.33.3" in found.ranges["transformers"].versions) is own_code
    assert any("own code" in note for note in found.notes) is own_code


def test_a_build_between_two_releases_of_peft_is_one() -> None:
    found = case("dev-build")
    assert set(found.ranges["peft"].versions) == {"0.14.0", "0.15.0"}
    assert found.candidates[0].pins["peft"] == "0.15.0"
    assert not found.contradictions


def test_a_development_version_in_the_card_agrees_with_the_keys() -> None:
    found = case("card-dev-version")
    assert found.ranges["peft"].versions == ("0.6.2",)
    assert not found.contradictions


def test_a_floor_in_prose_contradicts_nothing() -> None:
    found = case("card-at-least")
    assert not found.contradictions
    assert found.ranges["peft"].versions[0] == "0.10.0"


def test_a_list_of_requirements_orders_and_excludes_nothing() -> None:
    found = case("requirements-beside")
    assert dict(found.candidates[0].pins) == {"transformers": "4.44.2", "peft": "0.12.0", "torch": "2.4.1"}
    assert {one.strength for one in found.signals if one.file == "requirements.txt"} == {"weak"}
    assert len(found.ranges["peft"].versions) > 1


@pytest.mark.parametrize("name", ["card-lf", "card-crlf", "card-utf16"])
def test_a_card_is_read_whatever_its_line_ends_and_encoding(name: str) -> None:
    found = case(name)
    assert {key: one.versions for key, one in found.ranges.items() if key != "tokenizers"} == {
        "peft": ("0.11.1",), "transformers": ("4.41.2",), "torch": ("2.3.0",)}  # fmt: skip
    assert found.confidence == "stated"


def test_an_overall_confidence_is_not_none_where_peft_is_stated(tmp_path: Path) -> None:
    config = json.loads((CASES / "dev-build" / "adapter" / "adapter_config.json").read_text())
    config |= {"peft_version": "0.18.0", "base_model_name_or_path": ""}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert infer(tmp_path).confidence == "low"


NAMES = ["Qwen/Qwen2.5-VL-7B-Instruct", "google/gemma-4-9b-it", "meta-llama/Llama-3.1-8B-Instruct",
         "/data/models/Qwen3-8B", "mistralai/Mistral-7B-v0.1", "google/gemma-2-9b", "microsoft/phi-2",
         "deepseek-ai/DeepSeek-V3", "openai/gpt-oss-20b", "google/gemma-3-4b-it"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("keys", ["requirements-beside", "dev-build", "card-dev-version"])
def test_no_proposal_breaks_a_need_of_the_family_or_a_relation(tmp_path: Path, name: str, keys: str) -> None:
    config = json.loads((CASES / keys / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": name}))
    found = infer(tmp_path)
    family = found.family.family
    released = {one: frozenset(found.known[one].versions) for one in ("peft", "transformers", "torch")}
    for candidate in found.candidates:
        if family is not None and found.family.certainty == "exact":
            for package, need in family.requires.items():
                if package in candidate.pins:
                    assert SpecifierSet(need.versions).contains(candidate.pins[package])
        for one in load_matrix().relations:
            wanted = SpecifierSet(one.needs)
            meant = one.package in candidate.pins and one.other in candidate.pins and (
                any(wanted.contains(version) for version in released[one.other])
            )  # fmt: skip
            if meant and SpecifierSet(one.versions).contains(candidate.pins[one.package]):
                assert wanted.contains(candidate.pins[one.other]), (dict(candidate.pins), one)
