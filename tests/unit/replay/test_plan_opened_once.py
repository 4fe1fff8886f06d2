"""In planning a merge each file of the adapters and of the base is opened once, whoever asks for it."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.diagnose.check import find_recorded_base
from envpin.envs.locks.torch_wish import TorchWish
from envpin.envs.refs.adapter import Unrecorded, unrecorded_choices
from envpin.envs.refs.family import family_request
from envpin.envs.store.store import Store
from envpin.manifest.types import BaseModel, Distribution, Manifest, RunInfo
from envpin.manifest.write import write_manifest
from envpin.matrix.load import load_matrix
from envpin.replay.adapters import WeightedAdapter
from envpin.replay.options import MergeOptions
from envpin.replay.plan import make_plan
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator

# The committed lock as it is: nothing is asked of uv.
INDEX = TorchWish(label="index")

_counting: list[tuple[Path, Counter[str]]] = []


def _count(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook sees every open of the interpreter, by whichever function; it cannot be taken off again."""
    if event != "open" or not _counting or not isinstance(arguments[0], (str, bytes, os.PathLike)):
        return
    path = Path(os.fsdecode(arguments[0]))
    for root, counts in _counting:
        if root in path.parents:
            counts[str(path.relative_to(root))] += 1


sys.addaudithook(_count)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Counter[str]]:
    """How often each file below `tmp_path` was opened, from the moment that the test clears it."""
    counts: Counter[str] = Counter()
    _counting.append((tmp_path, counts))
    yield counts
    _counting.clear()


@pytest.fixture
def family() -> Unrecorded:
    found = load_matrix().families["llama3.1"]
    return Unrecorded(
        basis="family", title=found.id, family=found, request=family_request(found), evidence=(), confidence="high"
    )


def furnish(folder: Path) -> None:
    """Everything beside the weights that some reader looks at."""
    tokenizer = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "generation_config.json").write_text("{}")
    (folder / "README.md").write_text("---\nlibrary_name: peft\n---\n\n- PEFT 0.12.0\n")


def write_pair(root: Path, *, base: str = "base") -> Path:
    """An adapter that was trained by a Trainer, and its base in shards."""
    shapes = llama_shapes()
    write_model(root / "base", shapes, llama_config(), shards=3)
    adapter = write_adapter(root / "adapter", lora_shapes(shapes), base=base)
    furnish(root / "base")
    furnish(adapter)
    (adapter / "trainer_state.json").write_text("{}")
    (adapter / "training_args.bin").write_bytes(pickle.dumps({"output_dir": "out"}))
    return adapter


def files_of(folder: Path) -> set[str]:
    return {f"{folder.name}/{entry.name}" for entry in folder.iterdir()}


def more_than_once(opened: Counter[str]) -> dict[str, int]:
    return {name: count for name, count in opened.items() if not name.startswith("store/") and count > 1}


def test_plan_of_an_unrecorded_adapter_opens_each_file_once(
    tmp_path: Path, opened: Counter[str], family: Unrecorded
) -> None:
    """As `merge_unrecorded` does it: base and inference first, then a plan for each attempt, over the same folders."""
    path = write_pair(tmp_path)
    opened.clear()
    adapter = open_checkpoint(path)
    _ = adapter.tokenizer
    base = find_recorded_base(adapter, None)
    assert unrecorded_choices(adapter, base=base.checkpoint)
    options = MergeOptions(torch=INDEX, choice=family, base=base)
    for _attempt in range(2):
        make_plan(adapter, out=tmp_path / "out", store=Store(tmp_path / "store"), options=options)
    assert more_than_once(opened) == {}
    # Whatever is in the two folders was looked at, but for the card of the base.
    assert (files_of(tmp_path / "adapter") | files_of(tmp_path / "base")) - set(opened) == {"base/README.md"}


def test_plan_of_a_recorded_adapter_opens_each_file_once(
    tmp_path: Path, opened: Counter[str], family: Unrecorded
) -> None:
    """With a manifest that tells of the base's config and weights, and a base that says what it was merged from: all of
    it is compared, the samples of the weights being read along with their headers."""
    adapter = write_pair(tmp_path)
    manifest = Manifest(
        schema=1,
        run=RunInfo(id="1"),
        distributions=(Distribution(name="transformers", version="4.43.1"),),
        base=BaseModel(
            path=str(tmp_path / "base"),
            config_sha256="0" * 64,
            weights=dict(open_checkpoint(tmp_path / "base").samples),
        ),
    )
    write_manifest(adapter / "envpin.json", manifest)
    merged = {"adapter": {"files": {"adapter_model.safetensors": "0" * 64}}}
    (tmp_path / "base" / "envpin-merge.json").write_text(json.dumps(merged))
    opened.clear()
    options = MergeOptions(torch=INDEX, choice=family)
    plan = make_plan(adapter, out=tmp_path / "out", store=Store(tmp_path / "store"), options=options)
    assert "base-changed-since-training" in {one.code for one in plan.findings}
    assert plan.weights.state == "sampled"
    assert more_than_once(opened) == {}
    assert "adapter/envpin.json" in opened
    assert files_of(tmp_path / "base") - set(opened) == {"base/README.md"}


def test_plan_of_two_adapters_opens_each_file_once(tmp_path: Path, opened: Counter[str], family: Unrecorded) -> None:
    """Both bring a whole head, whose bytes are compared, and share the base."""
    adapter = write_pair(tmp_path)
    for name in ("adapter", "other"):
        write_adapter(
            tmp_path / name, lora_shapes(llama_shapes()) | {"base_model.model.lm_head.weight": (320, 64)}, base="base"
        )
        furnish(tmp_path / name)
    further = WeightedAdapter(path=tmp_path / "other", weight=0.5)
    opened.clear()
    options = MergeOptions(torch=INDEX, choice=family, further=(further,))
    make_plan(adapter, out=tmp_path / "out", store=Store(tmp_path / "store"), options=options)
    assert more_than_once(opened) == {}
    assert {"adapter/adapter_model.safetensors", "other/adapter_model.safetensors", "base/config.json"} <= set(opened)


def test_plan_names_the_base_that_was_passed_over(tmp_path: Path, family: Unrecorded) -> None:
    path = write_pair(tmp_path)
    near = write_model(path / "base", llama_shapes(hidden=128), llama_config(hidden_size=128))
    options = MergeOptions(torch=INDEX, choice=family)
    plan = make_plan(path, out=tmp_path / "out", store=Store(tmp_path / "store"), options=options)
    assert plan.base.path == tmp_path / "base"
    assert not plan.blockers
    assert any(str(near) in note and "cannot be the base" in note for note in plan.notes)
