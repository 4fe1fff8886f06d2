"""Whole logs of strangers' programs, run in other environments than their own: the cause is known by experiment."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import pytest

from envpin.diagnose.catalogue.catalogue import load_catalogue
from envpin.diagnose.logs.reader import diagnose_log

DATA = Path(__file__).resolve().parents[3] / "data" / "runs"
RUNS = [run for path in sorted(DATA.glob("*.toml")) for run in tomllib.loads(path.read_text(encoding="utf-8"))["run"]]
# Known to be missed today; docs/reference/wild.md says why.
MISSED = {
    "finetuning-deepseek_sft-c4-cutjson",
    "ticket-triage-lora-train_lora-c6",
    "alpaca-lora-export-no-tokenizer-model",
    "rgft-test-adapter-orig-mod",
    "minitune-merge-causal-base",
    "chatglm3-tokenizer-lfs",
    "st331-path",
    "chronos-new-transformers",
    "flagemb-reranker",
    "mergekit006-new-transformers",
}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run["name"])
def test_a_real_run_has_its_cause(run: dict[str, Any]) -> None:
    found = {one.code for one in diagnose_log(io.BytesIO(run["log"].encode())).findings}
    right = run["code"] in found or not (run["code"].strip("?") or found - {*run["also"]})
    assert right == (run["name"] not in MISSED), found


def test_every_run_says_what_it_is() -> None:
    known = set(load_catalogue()) | {"", "?"}
    assert {run["code"] for run in RUNS} <= known
    assert len({run["name"] for run in RUNS}) == len(RUNS)
    assert not [run["name"] for run in RUNS if not run["program"].startswith("https://") or not run["log"].strip()]
