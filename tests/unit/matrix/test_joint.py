"""A stack plan: what goes into which environment, which bounds hold, which ways are tried, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError, ResolutionError
from envpin.matrix.conditions import Need
from envpin.matrix.joint import StackPlan, StackQuestion, plan_stack
from envpin.matrix.joint_bounds import StackFacts
from envpin.matrix.match import Match
from envpin.matrix.parts import quantization_of
from envpin.matrix.stack import Stack, Tool, ToolRelease, registry_of
from envpin.matrix.support import PeftFacts, ReleaseFacts, Support

if TYPE_CHECKING:
    from collections.abc import Mapping


def releases(*versions: str, source: bool = False) -> list[ToolRelease]:
    return [
        ToolRelease(version=one, date=f"2024-{at:02d}-01", source=source) for at, one in enumerate(versions, start=1)
    ]


TORCH = [ToolRelease(version=one, date="2024-01-01", cuda=cuda)
         for one, cuda in (("2.3", "12.1"), ("2.4", "12.4"), ("2.5", "13.0"))]  # fmt: skip
OLD = ["gptq", "awq", "bitsandbytes_4bit"]
STACK = Stack(
    {
        "torch": Tool("torch", TORCH),
        "trl": Tool("trl", releases("0.1", "0.2", "0.3", "0.4", "0.5", "0.6")),
        "vllm": Tool("vllm", releases("0.1", "0.2", "0.3"),
                     {"architectures": registry_of([[], ["XForCausalLM"], ["XForCausalLM"]]),
                      "quantizations": registry_of([[], [], ["fp8"]])}),
        "sglang": Tool("sglang", releases("1", "2"), {"architectures": registry_of([[], ["YForCausalLM"]])}),
        "llamafactory": Tool("llamafactory", releases("1", "2"), {"repositories": registry_of([[], ["a/X-1B"]])}),
        "gptqmodel": Tool("gptqmodel", releases("7", source=True), {"model_types": registry_of([["x"]])}),
        "transformers": Tool("transformers", releases("4.1", "4.2", "4.3"),
                             {"quantizations": registry_of([OLD, OLD, [*OLD, "fp8"]])}),
        "bitsandbytes": Tool("bitsandbytes", releases("0.40", "0.41")),
    }
)  # fmt: skip
SUPPORT = Support(
    transformers=tuple(ReleaseFacts(f"4.{at}", f"2024-0{at}-01") for at in range(1, 7)),
    model_types={"x": ((1, 5),), "y": ((0, 5),)}, peft=(PeftFacts("0.9", "2024-01-01"),),
)  # fmt: skip
FACTS = StackFacts(STACK, SUPPORT)
PINS = {"transformers": "4.5", "peft": "0.9", "torch": "2.4"}


def found(kind: str = "x", **fields: object) -> Match:
    match = Match(
        family=None, certainty="exact", basis="config", model_type=kind, pins=PINS, python="3.10",
        exclude_newer="2024-06-01", window=SUPPORT.window(kind), needs=(Need("transformers", ">=4.2", "first"),),
    )  # fmt: skip
    return match._replace(**fields)  # type: ignore[arg-type]


def plan(config: Mapping[str, object] | None = None, match: Match | None = None, **asked: object) -> StackPlan:
    config = {"architectures": ["XForCausalLM"], **(config or {})}
    return plan_stack(StackQuestion(**asked), match or found(), config, "a/X-1B", FACTS)  # type: ignore[arg-type]


def bounds(made: StackPlan, package: str) -> list[str]:
    return [one.versions for one in made.whole.bounds if one.package == package]


def test_train_and_merge_is_the_usual_wish() -> None:
    made = plan()
    assert (made.whole.purposes, made.parts) == (("train", "merge"), ())
    assert made.whole.packages == ("transformers", "peft", "torch", "accelerate")
    assert made.python == "3.10"
    assert plan(python="3.12").python == "3.12"


def test_a_named_server_means_serving_too() -> None:
    made = plan(tools=("trl", "vllm"))
    assert made.whole.purposes == ("train", "merge", "serve")
    assert [(one.purposes, one.packages) for one in made.parts] == [
        (("train", "merge"), ("trl", "transformers", "peft", "torch", "accelerate")), (("serve",), ("vllm",)),
    ]  # fmt: skip


def test_the_first_server_that_lists_the_model_is_taken() -> None:
    assert plan(purposes=("serve",)).whole.packages == ("vllm",)
    other = plan({"architectures": ["YForCausalLM"]}, purposes=("serve",))
    assert other.whole.packages == ("sglang",)
    with pytest.raises(ResolutionError, match="no release of vllm, sglang"):
        plan({"architectures": ["ZForCausalLM"]}, purposes=("serve",))


def test_a_server_that_does_not_list_it_is_refused_and_others_are_named() -> None:
    with pytest.raises(ResolutionError, match=r"no release of `vllm` up to 0.3 lists `YForCausalLM`") as refused:
        plan({"architectures": ["YForCausalLM"]}, tools=("vllm",))
    assert refused.value.hint == "these list it: sglang >=2"


def test_a_trainer_that_does_not_list_it_is_a_note() -> None:
    made = plan_stack(StackQuestion(tools=("llamafactory",)), found(), None, "b/Other", FACTS)
    assert made.notes == ("`llamafactory` up to 2 does not list this model; it may take it all the same",)
    assert bounds(plan(tools=("llamafactory",)), "llamafactory") == [">=2"]


def test_bounds_come_from_the_model_the_registry_and_the_request() -> None:
    made = plan(tools=("trl>=0.3", "vllm"))
    assert bounds(made, "transformers") == [">=4.2"]
    assert bounds(made, "vllm") == [">=0.2"]
    assert bounds(made, "trl") == [">=0.3"]


def test_a_companion_is_of_the_time_of_the_transformers() -> None:
    made = plan(tools=("trl",))  # 4.5 appeared on 2024-05-01, three months before which 0.2 was current
    assert bounds(made, "trl") == [">=0.2"]
    assert [one.floor for one in made.whole.bounds if one.package == "trl"] == [True]


@pytest.mark.parametrize(
    ("cuda", "bound"), [("12.1", "<=2.3"), ("12.4", "<=2.4"), ("12.9", "<=2.4"), ("13.2", "<=2.5")]
)
def test_torch_brings_no_cuda_newer_than_the_driver_runs(cuda: str, bound: str) -> None:
    assert bounds(plan(cuda=cuda), "torch") == [bound]


def test_a_cuda_older_than_every_wheel_is_refused() -> None:
    with pytest.raises(ResolutionError, match=r"no torch since 2\.3 brings CUDA 11.0"):
        plan(cuda="11.0")


def test_the_pins_of_the_model_are_tried_first_and_given_up_one_by_one() -> None:
    attempts = plan().whole.attempts
    assert [dict(one.pins) for one in attempts] == [
        PINS, {"transformers": "4.5", "peft": "0.9"}, {"transformers": "4.5"}, {}, {},
    ]  # fmt: skip
    assert [one.exclude_newer for one in attempts] == ["2024-06-01"] * 4 + [None]


def test_a_pin_outside_a_bound_is_given_up_at_once() -> None:
    assert "torch" not in plan(cuda="12.1").whole.attempts[0].pins
    assert "peft" not in plan(tools=("peft>=0.10",)).whole.attempts[0].pins


def test_newest_keeps_no_pin_and_no_day() -> None:
    assert [(one.pins, one.exclude_newer) for one in plan(newest=True).whole.attempts] == [({}, None)]


def test_the_day_moves_to_where_a_tool_first_lists_the_model() -> None:
    early = found(exclude_newer="2024-01-15")
    assert plan(match=early, tools=("vllm",)).whole.attempts[0].exclude_newer == "2024-02-22"


@pytest.mark.parametrize(
    ("config", "method"),
    [
        ({"quantization_config": {"quant_method": "GPTQ"}}, "gptq"),
        ({"quantization_config": {"load_in_4bit": True}}, "bitsandbytes"),
        ({"text_config": {"quantization_config": {"quant_method": "fp8"}}}, "fp8"),
        ({"quantization_config": {}}, None), ({"quantization_config": 4}, None), ({}, None), (None, None),
    ],
)  # fmt: skip
def test_the_config_says_how_the_weights_are_quantized(config: Mapping[str, object] | None, method: str | None) -> None:
    assert quantization_of(config) == method


def test_a_quantization_brings_its_package_and_its_bounds() -> None:
    made = plan({"quantization_config": {"load_in_8bit": True}})
    assert "bitsandbytes" in made.whole.packages
    fp8 = plan({"quantization_config": {"quant_method": "fp8"}}, tools=("vllm",))
    assert bounds(fp8, "transformers") == [">=4.2", ">=4.3"]
    assert bounds(fp8, "vllm") == [">=0.2", ">=0.3"]


def test_what_triton_imports_without_declaring_it_is_there() -> None:
    made = plan(tools=("bitsandbytes",))
    assert "setuptools" in made.whole.packages
    assert bounds(made, "setuptools") == [">=40"]
    assert "setuptools" not in plan(tools=("trl",)).whole.packages


def test_a_package_without_wheels_is_left_out_and_named() -> None:
    made = plan({"quantization_config": {"quant_method": "awq"}})
    assert made.sources == ("gptqmodel",)
    assert "gptqmodel" not in made.whole.packages
    assert "`gptqmodel` has no wheels" in made.notes[0]


def test_weights_that_no_transformers_loads_are_served_only() -> None:
    config = {"quantization_config": {"quant_method": "modelopt"}}
    with pytest.raises(ResolutionError, match="modelopt, which no release of transformers up to 4\\.3 loads"):
        plan(config)
    served = plan(config, purposes=("serve",), tools=("vllm",))
    assert "quantized with modelopt, which no release of `vllm` lists" in served.notes[0]


def test_what_goes_with_a_tool_asked_for_exactly_is_of_its_days_first() -> None:
    made = plan(purposes=("serve",), tools=("vllm==0.2",))
    days = [one.exclude_newer for one in made.whole.attempts]
    assert days[0] == "2024-02-22"
    assert days[1] == "2024-06-01"
    assert plan(tools=("trl==0.2",)).whole.attempts[0].pins["transformers"] == "4.5"


def test_an_unknown_package_is_asked_for_all_the_same() -> None:
    made = plan(tools=("flash-attn",))
    assert "flash-attn" in made.whole.packages
    assert made.notes == ("nothing was collected about `flash-attn`: its newest release that fits",)


@pytest.mark.parametrize("text", ["trl @ https://example.org/trl.whl", "two words"])
def test_what_is_no_package_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        plan(tools=(text,))
