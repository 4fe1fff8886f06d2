"""Each tool's registry as its wheels spell it, and what each release spelled otherwise."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from envpin.evidence.stack.registries import RECIPES
from tests.support.places import ROOT

REGISTRIES = tomllib.loads((ROOT / "tests" / "data" / "registries.toml").read_text(encoding="utf-8"))["registry"]


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda one: f"{one['package']}-{one['kind']}")
def test_registry_is_read_as_the_tool_spells_it(registry: dict[str, Any]) -> None:
    recipe = next(one for one in RECIPES[registry["package"]] if one.kind == registry["kind"])
    assert recipe.members.fullmatch(registry["member"])
    assert sorted(set(recipe.parse(registry["member"], registry["source"].encode()))) == registry["names"]


def test_every_recipe_is_tried() -> None:
    recipes = {(package, one.kind) for package, all_of in RECIPES.items() for one in all_of}
    assert recipes == {(one["package"], one["kind"]) for one in REGISTRIES}


@pytest.mark.parametrize(
    ("package", "member"),
    [("sglang", "sglang/srt/models/deepseek_common/utils.py"), ("mlx-lm", "mlx_lm/tuner/utils.py"),
     ("vllm", "vllm/model_executor/models/llama.py"), ("liger-kernel", "liger_kernel/megatron/monkey_patch.py")],
)  # fmt: skip
def test_members_that_hold_no_registry_are_not_read(package: str, member: str) -> None:
    assert not any(one.members.fullmatch(member) for one in RECIPES[package])


def test_a_member_that_is_no_python_is_an_error() -> None:
    with pytest.raises(SyntaxError):
        list(RECIPES["vllm"][0].parse("vllm/model_executor/models/registry.py", b"_MODELS = {"))
