"""The engine `stream` in real environments: each check of stream_inside.py as a test, and cells of the grid."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from envpin.core import process
from tests.support import environments

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ROOT / "src" / "envpin" / "workers"
GRID = ROOT / "benchmarks" / "grid_inside.py"
HERE = Path(__file__).parent
KILLS = {"ENVPIN_KILLS": "30" if os.environ.get("ENVPIN_TEST_ALL") else "8"}


def names_of(script: str) -> list[str]:
    lines = (HERE / script).read_text(encoding="utf-8").splitlines()
    return sorted(line.split("(")[0].removeprefix("def ") for line in lines if line.startswith("def check_"))


CHECKS = [
    *(pytest.param("peft012", "stream_inside.py", name, marks=pytest.mark.xdist_group("stream-checks"))
      for name in names_of("stream_inside.py")),
    *(pytest.param("latest", "several_inside.py", name, marks=pytest.mark.xdist_group("stream-latest"))
      for name in names_of("several_inside.py")),
    *(pytest.param("latest", "disk_inside.py", name, marks=pytest.mark.xdist_group("stream-latest"))
      for name in names_of("disk_inside.py")),
    *(pytest.param(environment, script, name, marks=pytest.mark.xdist_group("stream-" + environment))
      for script in ("shares_inside.py", "product_inside.py")
      for environment in ("latest", "peft012") for name in names_of(script)),
]  # fmt: skip
# peft 0.12 loads a second adapter otherwise than it does now.
AGAIN = ("several_inside.py", "check_two_adapters_give_the_bits_of_merging_one_after_the_other")

# A cell each for every kind and every model family, spread over three eras of peft and transformers.
CELLS = {
    "peft012": (
        "llama/lora/fp16/single/untied", "llama/dora/bf16/sharded/untied", "llama/save-both/bf16/sharded/tied",
        "llama/grown-saved/bf16/single/tied", "llama/grown/bf16/sharded/untied", "gpt2/lora/bf16/single/tied",
        "gpt2/dora/fp32/single/tied", "t5/lora/fp16/sharded/tied", "bert/lora/fp32/single/untied",
        "bert/bias-all/bf16/single/untied", "convnet/lora/fp32/single/untied", "llama/embedding/bf16/sharded/untied",
    ),
    "vlm": (
        "qwen2_vl/lora/bf16/sharded/untied", "gemma2/patterns/bf16/single/tied", "qwen3_moe/lora/bf16/sharded/untied",
        "qwen2/lora-bias/bf16/single/untied", "llama/oft/fp32/single/untied", "llama/tokens/bf16/single/tied",
    ),
    "latest": (
        "qwen3_moe/lora/bf16/sharded/untied", "qwen3_moe/parameters/fp16/single/untied",
        "qwen2_vl/dora/bf16/single/untied",
        "qwen2/loha/bf16/sharded/tied", "qwen2/lokr/bf16/single/untied", "gemma2/ia3/bf16/sharded/tied",
        "llama/tokens/bf16/sharded/tied", "llama/rslora/bf16/single/untied", "llama/save-head/bf16/single/tied",
        "convnet/dora/bf16/single/untied",
    ),
}  # fmt: skip
# peft adds the delta of a tied layer to the tensor that both modules share: its merge is not what was trained.
TIED = ("llama/embedding/bf16/single/tied", "llama/head/bf16/single/tied")


FAMILIES = GRID.with_name("families_inside.py")
# transformers 5 loads these under other names than the checkpoint has, or fuses their experts.
RENAMED = ("gemma3-vl", "llava", "mixtral", "qwen2.5-vl", "qwen3-moe")


# What most laptops and clouds have; oneDNN, ATen and MKL each have a name for it.
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def run_inside(environment: str, script: Path, *arguments: object) -> None:
    python = environments.pinned(environment).python
    values = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **KILLS, **(AVX2 if "shares" in script.name else {})}
    variables = process.scrubbed_environment(set_values=values)
    completed = process.run([str(python), str(script), *map(str, arguments)], env=variables, timeout=1500)
    assert completed.status == 0, completed.stderr[-3000:]


@cache
def checked(environment: str, script: str, *names: str) -> dict[str, str]:
    folder = Path(mkdtemp(prefix="envpin-stream-"))
    out = folder / "checks.jsonl"
    run_inside(environment, HERE / script, WORKERS, GRID, folder / "scratch", out, *names)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return {line["check"]: line["trouble"] for line in lines}


@cache
def measured(environment: str) -> dict[str, Any]:
    folder = Path(mkdtemp(prefix="envpin-grid-"))
    out = folder / "cells.jsonl"
    wanted = [*CELLS[environment], *(TIED if environment != "vlm" else ())]
    run_inside(environment, GRID, WORKERS, folder / "scratch", out, ",".join(wanted))
    _about, *lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return {line["cell"]: line for line in lines}


@pytest.mark.parametrize(("environment", "script", "name"), CHECKS)
def test_engine(environment: str, script: str, name: str) -> None:
    trouble = checked(environment, script)[name]
    if trouble.startswith("skip: "):
        pytest.skip(trouble)
    assert trouble == "", trouble


@pytest.mark.xdist_group("stream-checks")
def test_several_adapters_in_an_old_peft() -> None:
    assert checked("peft012", *AGAIN) == {AGAIN[1]: ""}


@pytest.mark.parametrize(
    ("environment", "cell"),
    [
        pytest.param(environment, cell, marks=pytest.mark.xdist_group(f"stream-{environment}"))
        for environment, cells in CELLS.items()
        for cell in cells
    ],
)
def test_bits_are_those_of_the_pinned_peft(environment: str, cell: str) -> None:
    found = measured(environment)[cell]
    # In half precision, peft leaves float32 weights behind for some kinds: those are written with `--dtype peft`, and
    # the cell says that the files then equal peft's own; with the default they keep the base's dtype.
    assert found["status"] in {"identical", "identical-in-pefts-dtypes"}, found
    assert found["operations"] > 0
    assert found["worst"] <= 1.0
    if found["status"] == "identical-in-pefts-dtypes":
        assert "float32" in found["reason"]


@pytest.mark.parametrize(
    ("environment", "cell"),
    [
        pytest.param(environment, cell, marks=pytest.mark.xdist_group(f"stream-{environment}"))
        for environment in ("peft012", "latest")
        for cell in TIED
    ],
)
def test_a_layer_trained_over_a_tie_answers_as_trained_where_pefts_own_merge_does_not(
    environment: str, cell: str
) -> None:
    found = measured(environment)[cell]
    assert found["status"] == "differs"
    assert found["ratio"] < 0.03, found
    assert found["peft_ratio"] > 0.3, found


@cache
def families() -> dict[str, Any]:
    folder = Path(mkdtemp(prefix="envpin-families-"))
    out = folder / "cells.jsonl"
    run_inside("latest", FAMILIES, WORKERS, folder / "scratch", out, ",".join(RENAMED))
    _about, *lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return {line["cell"]: line for line in lines}


@pytest.mark.xdist_group("stream-families")
@pytest.mark.parametrize("family", RENAMED)
def test_checkpoints_with_other_names_than_their_modules(family: str) -> None:
    found = families()[family]
    assert found["status"] == "identical", found
    assert found["operations"] > 0
    assert (found["fused"] > 0) == (family in {"mixtral", "qwen3-moe"}), found
    # Asked layer by layer, and with each linear layer for itself: the bits of the models loaded whole in float32.
    assert found["probe"]["largest"] == 0.0, found


@pytest.mark.xdist_group("stream-checks")
def test_a_head_trained_over_a_tied_embedding_inside_another_model_is_kept(tmp_path: Path) -> None:
    """PaliGemma with peft 0.12, whose `all-linear` includes the head of a model that lies inside another."""
    out = tmp_path / "families.jsonl"
    run_inside("peft012", GRID.with_name("families_inside.py"), WORKERS, tmp_path / "scratch", out, "paligemma")
    _about, found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert found["status"] == "untied", found
    assert found["probe"]["ratio"] < 0.02
