"""Forty adapters of every trainer and era, ten of them damaged: what a scan says of each."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest

from envpin.envs.store.store import Store
from envpin.inference.infer import infer
from envpin.scan.run import scan
from tests.support.wild.make import KEPT
from tests.support.wild.mixed import make_forty

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.scan.entry import ScanEntry


class Said(NamedTuple):
    """`blockers` are codes, all of them; `base` says whether it was found."""

    trainer: str | None
    version: str | None = None
    base: bool = True
    blockers: tuple[str, ...] = ()
    record: str = "none"
    problem: str = ""


SWIFT = "real/ms-swift/v0-20261127-030149/checkpoint-12"
TABLE: dict[str, Said] = {
    # Really written by the trainer itself, and not changed since.
    "real/autotrain": Said("autotrain"),
    "real/autotrain-chat": Said("autotrain"),
    "real/hf-trainer": Said("transformers"),
    "real/hf-trainer/checkpoint-12": Said("transformers"),
    "real/llamafactory-0.9.3": Said("llamafactory"),
    "real/llamafactory-0.9.3/checkpoint-12": Said("llamafactory"),
    "real/llamafactory-0.9.5": Said("llamafactory"),
    "real/llamafactory-0.9.5/checkpoint-12": Said("llamafactory"),
    SWIFT: Said("ms-swift", "4.6.0"),
    "real/trl-0.12.2": Said("trl"),
    "real/trl-0.12.2/checkpoint-12": Said("trl"),
    "real/trl-1.16.0": Said("trl", "1.16.0"),
    "real/trl-1.16.0/checkpoint-12": Said("trl", "1.16.0"),
    # Unsloth on a CPU hands everything to TRL and leaves no trace of its own.
    "real/unsloth": Said("trl", "1.15.0"),
    "real/unsloth/checkpoint-12": Said("trl", "1.15.0"),
    # Made after the source of what writes it.
    "made/axolotl": Said("axolotl", "0.12.2"),
    "made/unsloth-pushed": Said("unsloth"),
    "made/torchtune/epoch_0": Said("torchtune"),
    "made/mlx": Said("mlx-lm", base=False, problem="an adapter in the format of MLX"),
    "made/swift2/v3-20240601-101500/checkpoint-40": Said("ms-swift"),
    "made/autotrain-2024-04": Said("autotrain"),
    "made/recorded": Said("peft", record="recorded"),
    # By the fields of peft's configs.
    "made/peft-0.3.0": Said("peft"),
    "made/peft-0.5.0": Said("peft"),
    "made/peft-0.6.0": Said("peft"),
    "made/peft-0.8.0": Said("peft"),
    "made/peft-0.11.0": Said("peft"),
    "made/peft-0.14.0": Said("peft"),
    "made/peft-0.16.0": Said("peft"),
    "made/peft-0.18.0": Said("peft"),
    # Damaged.
    "damaged/cut-off": Said("peft", blockers=("truncated-file",)),
    "damaged/pointer": Said("peft", blockers=("lfs-pointer",)),
    "damaged/web-page": Said("peft", blockers=("html-instead-of-weights",)),
    "damaged/empty": Said("peft", blockers=("truncated-file",)),
    "damaged/broken-config": Said(None, base=False, blockers=("corrupt-header",)),
    "damaged/no-weights": Said("peft", blockers=("missing-shard",)),
    "damaged/half-a-pair": Said("peft", blockers=("unpaired-lora",)),
    "damaged/other-base": Said("peft", blockers=("wrong-base-hidden-size",)),
    "damaged/zero-3": Said("peft", blockers=("empty-tensors-zero3",)),
    "damaged/other-rank": Said("peft", blockers=("rank-mismatch",)),
}

# peft and transformers that really wrote these folders.
TRUTH = {
    "autotrain": ("0.14.0", "4.48.0"),
    "autotrain-chat": ("0.14.0", "4.48.0"),
    "hf-trainer": ("0.12.0", "4.43.1"),
    "hf-trainer/checkpoint-12": ("0.12.0", "4.43.1"),
    "llamafactory-0.9.3": ("0.15.2", "4.52.4"),
    "llamafactory-0.9.3/checkpoint-12": ("0.15.2", "4.52.4"),
    "llamafactory-0.9.5": ("0.18.1", "5.6.0"),
    "llamafactory-0.9.5/checkpoint-12": ("0.18.1", "5.6.0"),
    SWIFT.removeprefix("real/"): ("0.20.0", "5.19.0"),
    "trl-0.12.2": ("0.13.2", "4.46.3"),
    "trl-0.12.2/checkpoint-12": ("0.13.2", "4.46.3"),
    "trl-1.16.0": ("0.21.2", "5.24.0"),
    "trl-1.16.0/checkpoint-12": ("0.21.2", "5.24.0"),
    "unsloth": ("0.21.2", "5.17.0"),
    "unsloth/checkpoint-12": ("0.21.2", "5.17.0"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ScanEntry]:
    root = tmp_path_factory.mktemp("forty")
    make_forty(root)
    return {entry.path: entry for entry in scan(root, store=Store(root / "no-store")).entries}


def test_forty_are_found_and_the_bases_beside_them(found: dict[str, ScanEntry]) -> None:
    assert len(TABLE) == 40
    models = {"real/base", "made/base", "damaged/base", "damaged/wide", "real/autotrain-merged"}
    assert set(found) == set(TABLE) | models
    assert {path for path, entry in found.items() if entry.kind == "model"} == models


@pytest.mark.parametrize("path", TABLE)
def test_each_is_told_right(found: dict[str, ScanEntry], path: str) -> None:
    entry, said = found[path], TABLE[path]
    blockers = tuple(sorted({one.code for one in entry.findings if one.severity == "blocker"}))
    assert blockers == said.blockers
    assert (entry.trainer, entry.trainer_version) == (said.trainer, said.version)
    assert (entry.base is not None and entry.base.found is not None) == said.base
    assert entry.record == (said.record if said.record != "none" or not entry.versions else "inferred")
    assert (entry.problem or "").startswith(said.problem)
    assert bool(entry.problem) == bool(said.problem)
    assert entry.is_bad == bool(said.blockers or said.problem)


def test_a_model_that_autotrain_merged_is_its_own(found: dict[str, ScanEntry]) -> None:
    merged = found["real/autotrain-merged"]
    assert (merged.trainer, merged.through) == ("autotrain", ("trl", "transformers"))
    assert not merged.is_bad


@pytest.mark.parametrize("card", [True, False], ids=["with its card", "without any card"])
@pytest.mark.parametrize("name", TRUTH)
def test_what_really_wrote_it_is_in_the_inferred_range(name: str, card: bool, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(KEPT / name, folder, ignore=shutil.ignore_patterns(*() if card else ("README.md",)))
    inferred = infer(folder, base=str(KEPT / "base"))
    peft, transformers = TRUTH[name]
    assert peft in inferred.ranges["peft"].versions
    assert transformers in inferred.ranges["transformers"].versions
    minors = {version.rpartition(".")[0] for version in inferred.ranges["peft"].versions}
    if name.startswith("autotrain"):
        assert minors == {"0.14"}, "no wider than one minor release"
    assert len(minors) <= 4
