"""The Hub cache: found by each way of naming it, and found there by every command alike."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.bases import find_base
from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.core import hub_cache
from envpin.diagnose.check import check
from envpin.inference.observe import observe
from envpin.matrix.subject import find_subject

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "a" * 40
VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
# What is set, and where below the test's folder the cache then is: in the order of huggingface_hub's constants.py.
WAYS: dict[str, tuple[dict[str, str], str]] = {
    "HF_HUB_CACHE": ({"HF_HUB_CACHE": "{}/a"}, "a"),
    "HUGGINGFACE_HUB_CACHE": ({"HUGGINGFACE_HUB_CACHE": "{}/a"}, "a"),
    "HF_HOME": ({"HF_HOME": "{}/a"}, "a/hub"),
    "XDG_CACHE_HOME": ({"XDG_CACHE_HOME": "{}/a"}, "a/huggingface/hub"),
    "none": ({}, "home/.cache/huggingface/hub"),
    "home": ({"HF_HOME": "~/a"}, "home/a/hub"),
    "another variable": ({"HF_HOME": "$WORK/a", "WORK": "{}"}, "a/hub"),
    "the first counts": ({"HF_HUB_CACHE": "{}/a", "HUGGINGFACE_HUB_CACHE": "{}/b", "HF_HOME": "{}/c"}, "a"),
    "the second before homes": ({"HUGGINGFACE_HUB_CACHE": "{}/b", "HF_HOME": "{}/c", "XDG_CACHE_HOME": "{}/d"}, "b"),
    "the third before the last": ({"HF_HOME": "{}/c", "XDG_CACHE_HOME": "{}/d"}, "c/hub"),
    "empty is unset": ({"HF_HUB_CACHE": "", "HF_HOME": "", "XDG_CACHE_HOME": "{}/d"}, "d/huggingface/hub"),
}


@pytest.fixture(params=WAYS)
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache that one way of naming it means; no other is set."""
    for name in (*VARIABLES, "TRANSFORMERS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    variables, below = WAYS[request.param]
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    return tmp_path / below


def test_every_command_finds_a_base_in_the_cache_however_it_is_named(cache: Path, tmp_path: Path) -> None:
    """`scan` goes through `check`; `replay`, `record --attach` and `diagnose` through `find_base`."""
    storage = cache / "models--org--base"
    snapshot = storage / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(COMMIT)
    adapter = tmp_path / "out"
    adapter.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": "org/base"}
    (adapter / "adapter_config.json").write_text(json.dumps(config))

    assert hub_cache.hub_cache() == cache
    assert find_base(open_checkpoint(adapter)).path == snapshot
    checked = check(adapter).base
    assert checked is not None
    assert (checked.path, checked.id, checked.commit) == (snapshot, "org/base", COMMIT)
    resolved = find_subject(str(adapter))
    assert (resolved.config or {}).get("model_type") == "llama"
    assert resolved.origin[-1] == f"read from {snapshot / 'config.json'}"
    assert (find_subject("org/base").config or {}).get("model_type") == "llama"
    observed = observe(adapter)
    assert observed.base == "org/base"
    assert (observed.base_config or {}).get("model_type") == "llama"


def test_commit_of_reads_a_ref_and_trusts_it_with_nothing(tmp_path: Path) -> None:
    (tmp_path / "refs" / "pr").mkdir(parents=True)
    (tmp_path / "refs" / "main").write_text(f"{COMMIT}\n")
    (tmp_path / "refs" / "pr" / "1").write_text("b" * 40)
    (tmp_path / "refs" / "evil").write_text("../../..")
    (tmp_path / "refs" / "binary").write_bytes(b"\xff\xfe")
    assert hub_cache.commit_of(tmp_path, None) == COMMIT
    assert hub_cache.commit_of(tmp_path, "pr/1") == "b" * 40
    assert hub_cache.commit_of(tmp_path, "c" * 40) == "c" * 40
    for name in ("evil", "binary", "missing", "../refs/main", "pr"):
        assert hub_cache.commit_of(tmp_path, name) is None


def test_snapshots_of_puts_the_wanted_revision_first_then_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    storage = hub_cache.storage_of("org/base")
    assert storage == tmp_path / "models--org--base"
    for letter in "cab":
        hub_cache.snapshot_of(storage, letter * 40).mkdir(parents=True)
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text("c" * 40)
    (storage / "refs" / "v1").write_text("b" * 40)
    assert [one.name[0] for one in hub_cache.snapshots_of("org/base")] == ["c", "a", "b"]
    assert [one.name[0] for one in hub_cache.snapshots_of("org/base", "v1")] == ["b", "c", "a"]
    assert hub_cache.snapshots_of("../org") == []
    assert hub_cache.cached_identity(storage / "snapshots" / COMMIT) == ("org/base", COMMIT)
    assert hub_cache.blobs_beside(storage / "snapshots" / COMMIT) == storage / "blobs"
    assert hub_cache.cached_identity(tmp_path) is None
    assert hub_cache.blobs_beside(tmp_path) is None
