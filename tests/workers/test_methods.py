"""Methods of peft in real environments: cells of benchmarks/methods.py, and what a new peft may bring."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from envpin.workers.runtime.methods import STREAMED
from tests.workers.test_stream import GRID, WORKERS, run_inside

METHODS = GRID.with_name("methods_inside.py")
MERGED = {
    "latest": {
        "lora pissa/bf16": "peft", "lora olora/fp32": "peft", "lora kasa/bf16": "peft", "lora mica/bf16": "stream",
        "lora grown tied head/bf16": "peft", "adalora/bf16": "peft", "delora/bf16": "peft", "ln_tuning/bf16": "stream",
        "osf/fp32": "peft", "randlora/bf16": "peft", "shira/bf16": "peft", "tinylora/bf16": "peft",
        "vblora topk/bf16": "peft", "waveft/fp32": "peft",
    },
    "peft012": {
        "lora pissa/bf16": "peft", "lora olora/fp32": "peft", "lora grown tied head/bf16": "peft",
        "boft/fp32": "peft", "vera nosave/bf16": "peft", "ln_tuning/fp32": "peft",
    },
}  # fmt: skip
# method -> a word of the reason, which is peft's own where peft cannot merge
REFUSED = {
    "lora pissa_niter_4/bf16": "`init_lora_weights` is `pissa_niter_4`",
    "lora layer_replication/fp32": "`layer_replication`",
    "lora alora/bf16": "aLoRA does not support merging",
    "lora lora_ga/bf16": "`init_lora_weights` is `lora_ga`",
    "lily/bf16": "mixed differently for each input",
    "beft/bf16": "Base layer has no bias",
    "adaption_prompt/bf16": "merge_and_unload",
    "prefix_tuning/bf16": "`peft_type` is `PREFIX_TUNING`",
    "cartridge/bf16": "`peft_type` is `CARTRIDGE`",
}
# Fields with which peft itself has to load an adapter, although its method is streamed without them.
UNUSUAL = {"LORA": {"alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "monteclora_config"}}


@cache
def measured(environment: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    folder = Path(mkdtemp(prefix="envpin-methods-"))
    out = folder / "cells.jsonl"
    wanted = [*MERGED[environment], *(REFUSED if environment == "latest" else ())]
    run_inside(environment, METHODS, WORKERS, folder / "scratch", out, ",".join(wanted))
    about, *lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return about, {f"{line['method']}/{line['dtype']}": line for line in lines}


@pytest.mark.parametrize(
    ("environment", "cell"),
    [
        pytest.param(environment, cell, marks=pytest.mark.xdist_group(f"methods-{environment}"))
        for environment, cells in MERGED.items()
        for cell in cells
    ],
)
def test_a_method_merges_to_the_bits_of_its_own_peft(environment: str, cell: str) -> None:
    found = measured(environment)[1][cell]
    if found["status"] == "absent":
        pytest.skip(found["reason"])
    assert (found["status"], found.get("engine")) == ("identical", MERGED[environment][cell]), found


@pytest.mark.xdist_group("methods-latest")
@pytest.mark.parametrize("cell", REFUSED)
def test_what_is_not_the_trained_model_is_refused_with_the_reason(cell: str) -> None:
    found = measured("latest")[1][cell]
    assert found["status"] in {"refused-as-peft", "refused-not-as-trained"}, found
    assert REFUSED[cell] in found["reason"]


@pytest.mark.xdist_group("methods-latest")
def test_every_type_of_peft_has_a_method_in_the_grid() -> None:
    about = measured("latest")[0]
    assert set(about["types"]) <= {name.split()[0].upper() for name in about["methods"]}


@pytest.mark.xdist_group("methods-latest")
@pytest.mark.parametrize("method", sorted(STREAMED))
def test_every_field_of_a_streamed_method_is_known(method: str) -> None:
    """A new field may change what a merge is: it is added to `STREAMED` once that is known, or to `UNUSUAL`."""
    fields = set(measured("latest")[0]["types"].get(method, ()))
    assert fields - {"self"} <= STREAMED[method] | UNUSUAL.get(method, set())
