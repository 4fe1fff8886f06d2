"""What a registry says of a model: the spellings of one name, and the releases that list it as a bound."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from envpin.matrix.listing import ModelNames, bound_of, listing_of, method_listing
from envpin.matrix.stack import Tool, ToolRelease, registry_of
from envpin.matrix.types import Recognition

DAYS = [ToolRelease(version=f"0.{at}", date=f"2024-0{at}-01") for at in range(1, 7)]


def tool(kind: str, *lists: str, name: str = "vllm") -> Tool:
    return Tool(name, DAYS[: len(lists)], {kind: registry_of([one.split() for one in lists])})


@pytest.mark.parametrize(
    ("kind", "listed", "model"),
    [
        ("architectures", "Qwen3MoeForCausalLM", ModelNames("qwen3_moe")),
        ("architectures", "Qwen2_5_VLForConditionalGeneration", ModelNames("qwen2_5_vl")),
        ("architectures", "GPTNeoXForCausalLM", ModelNames("gpt_neox")),
        ("architectures", "GPT2LMHeadModel", ModelNames("gpt2")),
        ("architectures", "LlamaForCausalLM", ModelNames("other", ("LlamaForCausalLM",))),
        ("model_types", "qwen3_moe", ModelNames("qwen3_moe")),
        ("configs", "BartConfig", ModelNames("bart")),
        ("gguf_architectures", "qwen3moe", ModelNames("qwen3_moe")),
        ("repositories", "Qwen/Qwen2.5-VL-7B-Instruct", ModelNames(None, names=("qwen/qwen2.5-vl-7b-instruct",))),
        ("repositories", "Qwen/Qwen2.5-VL-7B-Instruct", ModelNames(None, names=("Qwen2.5-VL-7B-Instruct",))),
        ("repositories", "Qwen/Qwen3-8B", ModelNames(None, names=("mine",), family=Recognition(names=("qwen-?3",)))),
        ("models", "llama3_1", ModelNames("llama", names=("meta-llama/Llama-3.1-8B",), family=Recognition())),
    ],
)
def test_each_spelling_is_the_model(kind: str, listed: str, model: ModelNames) -> None:
    found = listing_of(tool(kind, "Another", f"Another {listed}"), model)
    assert found is not None
    assert (found.names, [one.version for one in found.releases]) == ((listed,), ["0.2"])


@pytest.mark.parametrize(
    ("kind", "listed", "model"),
    [
        ("architectures", "LlamaForCausalLM", ModelNames("llama", ("LlamaForSequenceClassification",))),
        ("architectures", "Qwen3ForCausalLM", ModelNames("qwen3_moe")),
        ("architectures", "Qwen3ForCausalLM", ModelNames(None)),
        ("model_types", "qwen3", ModelNames("qwen3_moe")),
        ("repositories", "Qwen/Qwen3-8B", ModelNames("qwen3", names=("Qwen/Qwen3-14B",))),
    ],
)
def test_another_model_is_not_it(kind: str, listed: str, model: ModelNames) -> None:
    found = listing_of(tool(kind, listed), model)
    assert found is not None
    assert found.releases == ()


def test_a_causal_model_comes_before_other_heads_of_its_type() -> None:
    found = listing_of(tool("architectures", "Qwen2ForCausalLM Qwen2ForRewardModel"), ModelNames("qwen2"))
    assert found is not None
    assert found.names == ("Qwen2ForCausalLM",)


def test_a_tool_without_a_registry_says_nothing() -> None:
    assert listing_of(Tool("trl", DAYS), ModelNames("llama")) is None
    assert listing_of(tool("quantizations", "fp8"), ModelNames("llama")) is None
    assert method_listing(Tool("trl", DAYS), "fp8") is None


@pytest.mark.parametrize(("method", "listed"), [("gptq", "auto_gptq"), ("mxfp4", "gpt_oss_mxfp4"), ("fp8", "fp8")])
def test_a_method_has_the_names_that_engines_give_it(method: str, listed: str) -> None:
    found = method_listing(tool("quantizations", "awq", f"awq {listed}"), method)
    assert found is not None
    assert [one.version for one in found.releases] == ["0.2"]


@pytest.mark.parametrize(
    ("inside", "bound"),
    [("1", ">=0.1,<=0.1"), ("2 3 4 5 6", ">=0.2"), ("2 3", ">=0.2,<=0.3"), ("2 4 6", ">=0.2,!=0.3,!=0.5"), ("", "")],
)
def test_a_bound_lets_in_what_lists_it_and_nothing_else(inside: str, bound: str) -> None:
    wanted = [DAYS[int(one) - 1] for one in inside.split()]
    assert bound_of(wanted, DAYS) == bound
    if bound:
        assert [one for one in DAYS if SpecifierSet(bound).contains(one.version)] == wanted


def test_a_yanked_release_makes_no_hole() -> None:
    every = [DAYS[0], DAYS[1]._replace(yanked=True), DAYS[2]]
    assert bound_of([DAYS[0], DAYS[2]], every) == ">=0.1"
