"""Three hundred names under which models are published: none is taken for another family, and none for proved."""

from __future__ import annotations

from pathlib import Path

import pytest

from envpin.core.resources import data_path
from envpin.matrix.load import load_matrix
from envpin.matrix.match import match
from envpin.matrix.support import load_support, shipped_path

MATRIX, SUPPORT = load_matrix(data_path("compat_matrix.toml")), load_support(shipped_path())

TABLE = Path(__file__).resolve().parents[2] / "data" / "names" / "published.tsv"

ROWS = [line.split("\t") for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]

CASES = [(name, truth) for truth, names in ROWS for name in names.split()]


@pytest.mark.parametrize(("name", "truth"), CASES)
def test_name_gives_the_published_family_or_none(name: str, truth: str) -> None:
    found = match(None, name, MATRIX, SUPPORT)
    assert found.certainty in {"by name", "unknown"}
    if found.family is not None:
        assert found.family.id in truth.split(",")
    elif found.model_type is not None:
        assert truth in {f"type:{found.model_type}", found.model_type}
        assert (found.kind == "native") == bool(found.pins)


def test_every_family_has_a_published_name() -> None:
    assert set(MATRIX.families) - {one for truth, _ in ROWS for one in truth.split(",")} == set()


@pytest.mark.parametrize(
    ("name", "model_type"),
    [
        ("EleutherAI/pythia-6.9b-deduped", "gpt_neox"), ("google/pegasus-xsum", "pegasus"),
        ("microsoft/speecht5_tts", "speecht5"), ("HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "smolvlm"),
        ("Qwen/Qwen3-8B-AWQ", "qwen3"), ("deepseek-ai/DeepSeek-V2.5", "deepseek_v2"), ("Qwen/CodeQwen1.5-7B", "qwen2"),
        ("allenai/Olmo-3-7B-Instruct", "olmo3"),
    ],
)  # fmt: skip
def test_name_with_its_size_or_task_at_the_end_is_recognised(name: str, model_type: str) -> None:
    assert match(None, name, MATRIX, SUPPORT).model_type == model_type


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("phi4", "phi-4"), ("gemma-3", "gemma3"), ("gptoss", "gpt-oss"), ("qwen2.5vl", "qwen2.5-vl"),
        ("deepseekv3", "deepseek-v3"), ("qwen2_5_vl", "qwen2.5-vl"), ("gpt_oss", "gpt-oss"), ("glm4_moe", "glm-4.5"),
        ("qwen3:8b", "qwen3"), ("qwen3:30b-a3b", "qwen3-moe"), ("qwen3-30b", "qwen3-moe"), ("qwen2.5:7b", "qwen2.5"),
        ("llama3.1:8b", "llama3.1"), ("deepseek-r1:671b", "deepseek-v3"), ("deepseek-r1", "deepseek-v3"),
    ],
)  # fmt: skip
def test_a_name_as_people_type_it_is_the_family(name: str, family: str) -> None:
    found = match(None, name, MATRIX, SUPPORT)
    assert found.certainty == "by name"
    assert found.family is not None
    assert found.family.id == family


@pytest.mark.parametrize("name", ["deepseek-r1:7b", "deepseek-r1-8b", "someone/phi4", "nobody/gptoss", "qwen", "q"])
def test_a_name_that_several_families_could_have_is_none_of_another(name: str) -> None:
    found = match(None, name, MATRIX, SUPPORT)
    assert found.family is None or found.family.id == name
