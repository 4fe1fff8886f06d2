"""`envpin check user/adapter` against a simulated Hub: what it reads, and what each refusal of the Hub becomes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.command import envpin
from tests.support.hub_simulator import Fault, HubSimulator
from tests.support.pickles import write_bin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from envpin.core.process import Completed

LARGE: Any = {"vocab": 32_000, "hidden": 4096, "layers": 8, "inner": 11_008, "kv": 4096}
CONFIG = llama_config(vocab_size=32_000, hidden_size=4096, num_hidden_layers=8, intermediate_size=11_008,
                      num_attention_heads=32, num_key_value_heads=32)  # fmt: skip


@pytest.fixture
def hub() -> Iterator[HubSimulator]:
    with HubSimulator() as simulator:
        yield simulator


@pytest.fixture
def ask(hub: HubSimulator, tmp_path: Path) -> Any:
    """Runs `envpin check WORDS… --json` there, and returns the process and its document."""

    def run(*words: object, env: Mapping[str, str] | None = None) -> tuple[Completed, dict[str, Any]]:
        variables = {**hub.variables(tmp_path / "home"), **(env or {})}
        completed = envpin("check", *words, "--json", env=variables, cwd=tmp_path)
        assert "Traceback" not in completed.stderr
        return completed, json.loads(completed.stdout) if completed.status < 2 else {}

    return run


def codes(document: Mapping[str, Any]) -> list[str]:
    return [one["code"] for one in document["findings"]]


def trained(folder: Path) -> Path:
    """An adapter whose factors are not zero."""
    file = next(folder.glob("adapter_model.*"))
    with file.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\x01")
    return folder


def large_pair(root: Path, hub: HubSimulator, *, shards: int = 4, vocab: int = 32_000) -> None:
    """6.6 GB of holes as the base, and an adapter that names it."""
    shapes = llama_shapes(**LARGE)
    hub.add("user/base", write_model(root / "served" / "base", shapes, CONFIG, shards=shards))
    whole: dict[str, tuple[int, ...]] = {}
    if vocab != 32_000:
        whole = {"base_model.model.model.embed_tokens.weight": (vocab, 4096)}
    hub.add("user/adapter", write_adapter(root / "served" / "adapter", lora_shapes(shapes) | whole, base="user/base"))


@pytest.mark.parametrize("shards", [1, 4])
def test_headers_are_all_that_is_read(hub: HubSimulator, ask: Any, tmp_path: Path, shards: int) -> None:
    large_pair(tmp_path, hub, shards=shards, vocab=32_001)
    completed, document = ask("user/adapter", "--base", "user/base")
    assert (completed.status, codes(document)) == (0, ["vocab-grown"])
    assert document["commit"] == hub.repos["user/adapter"].refs["main"]
    assert document["base"]["commit"] == hub.repos["user/base"].refs["main"]
    assert hub.bytes_sent < 300_000
    served = [one for one in hub.requests if one.path.endswith(".safetensors") and one.method == "GET"]
    assert all(one.range is not None for one in served)
    assert not list((tmp_path / "home").rglob("*.safetensors"))


def test_the_base_that_the_adapter_names_is_found_on_the_hub(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    large_pair(tmp_path, hub)
    completed, document = ask("user/adapter")
    assert (completed.status, document["base"]["id"], document["base"]["found"]) == (0, "user/base", "on the Hub")
    local = tmp_path / "served" / "adapter"
    completed, document = ask(local)
    assert (completed.status, document["base"]["id"]) == (0, "user/base")


def test_pickles_on_the_hub(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    shapes = llama_shapes(hidden=256, inner=512, kv=128)
    base, adapter = tmp_path / "served" / "base", tmp_path / "served" / "adapter"
    names = list(shapes)
    halves = {"pytorch_model-00001-of-00002.bin": names[:10], "pytorch_model-00002-of-00002.bin": names[10:]}
    for file, some in halves.items():
        write_bin(base / file, {name: shapes[name] for name in some})
    index = {"metadata": {}, "weight_map": {name: file for file, some in halves.items() for name in some}}
    (base / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    (base / "config.json").write_text(json.dumps(llama_config(hidden_size=256, intermediate_size=512)))
    write_bin(adapter / "adapter_model.bin", lora_shapes(llama_shapes(hidden=128)))
    document = {"peft_type": "LORA", "r": 8, "target_modules": ["q_proj", "v_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(document))
    hub.add("user/base", base)
    hub.add("user/adapter", adapter)
    completed, found = ask("user/adapter", "--base", "user/base")
    assert completed.status == 1
    assert codes(found) == ["wrong-base-hidden-size", "pickle-weights", "pickle-weights"]
    size = sum(path.stat().st_size for path in base.iterdir())
    assert hub.bytes_sent < size / 4
    assert not list((tmp_path / "home").rglob("*.bin"))


def test_a_hostile_pickle_on_the_hub_is_a_blocker(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    from tests.support.pickles import write_zip

    folder = tmp_path / "served"
    write_zip(folder / "adapter_model.bin", b"\x80\x02cposix\nsystem\nX\x05\x00\x00\x00false\x85R.", [])
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    hub.add("user/adapter", folder)
    completed, document = ask("user/adapter")
    assert (completed.status, codes(document)[0]) == (1, "pickle-weights")
    assert "posix.system" in document["findings"][0]["message"]


def test_a_snapshot_of_the_cache_and_offline(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    shapes = llama_shapes()
    snapshots = {}
    for name, folder in (
        ("user/base", write_model(tmp_path / "served" / "base", shapes, shards=2)),
        (
            "user/adapter",
            trained(write_adapter(tmp_path / "served" / "adapter", lora_shapes(shapes), base="user/base")),
        ),
    ):
        commit = hub.add(name, folder)
        root = tmp_path / "home" / "hub" / f"models--{name.replace('/', '--')}"
        (root / "refs").mkdir(parents=True)
        (root / "refs" / "main").write_text(commit)
        snapshots[name] = root / "snapshots" / commit
        folder.rename(tmp_path / "x")
        snapshots[name].parent.mkdir()
        (tmp_path / "x").rename(snapshots[name])
    completed, document = ask("user/adapter", "--offline")
    assert (completed.status, document["base"]["found"], codes(document)) == (0, "in the Hub cache", [])
    assert ask("user/adapter", env={"HF_HUB_OFFLINE": "1"})[0].status == 0
    assert ask(snapshots["user/adapter"], "--offline")[1]["base"]["path"] == str(snapshots["user/base"])
    assert hub.requests == []
    completed, _ = ask("user/elsewhere", "--offline")
    assert completed.status == 4
    assert "not in the Hub cache" in completed.stderr


def test_a_gated_base(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    large_pair(tmp_path, hub)
    hub.repos["user/base"].gated = "hf_open"
    completed, _ = ask("user/adapter", "--base", "user/base")
    assert completed.status == 2
    assert "`user/base` is gated" in completed.stderr
    assert "hf auth login" in completed.stderr
    completed, _ = ask("user/adapter", "--base", "user/base", env={"HF_TOKEN": "hf_other"})
    assert completed.status == 2
    assert "your token has no access" in completed.stderr
    completed, document = ask("user/adapter", "--base", "user/base", env={"HF_TOKEN": "hf_open"})
    assert (completed.status, document["blockers"]) == (0, 0)
    assert {one.authorization for one in hub.requests if one.server == "cdn"} == {None}
    assert "hf_o" not in completed.stderr + completed.stdout


def test_a_base_that_only_the_adapter_names_may_be_gated(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    large_pair(tmp_path, hub)
    hub.repos["user/base"].gated = "hf_open"
    completed, document = ask("user/adapter")
    assert (completed.status, sorted(codes(document))) == (0, ["adapter-is-noop", "base-not-found"])
    missing = next(one for one in document["findings"] if one["code"] == "base-not-found")
    assert "`user/base` is gated" in missing["message"]
    assert "hf auth login" in missing["evidence"][0]["note"]


@pytest.mark.parametrize(
    "case",
    [
        (["user/absent"], {}, 2, "`user/absent` is no repository"),
        (["user/adapter@v9"], {}, 2, "no such revision"),
        (["user/adapter", "--base", "user/absent"], {}, 2, "`user/absent` is no repository"),
        (["hf://../etc"], {}, 2, "is not a repository of the Hub"),
        (["user/adapter"], {"HF_TOKEN": "broken"}, 2, "does not accept your token"),
        (["user/adapter"], {"HF_ENDPOINT": "http://127.0.0.1:9"}, 4, "http://127.0.0.1:9 cannot be reached"),
        (
            ["user/adapter"],
            {"HF_ENDPOINT": "http://name:secret@127.0.0.1:9"},
            4,
            "http://127.0.0.1:9 cannot be reached",
        ),
        (["user/adapter"], {"HF_ENDPOINT": "not a url"}, 2, "HF_ENDPOINT"),
    ],
    ids=["missing", "revision", "missing base", "path as id", "bad token", "nobody there", "credentials", "no url"],
)
def test_what_the_hub_refuses(hub: HubSimulator, ask: Any, tmp_path: Path, case: Any) -> None:
    words, env, status, said = case
    large_pair(tmp_path, hub)
    completed, _ = ask(*words, env=env)
    assert completed.status == status, completed.stderr
    assert said in completed.stderr
    assert completed.stderr.count("error:") == 1
    assert "secret" not in completed.stderr
    assert "hint:" in completed.stderr


def test_a_server_without_ranges(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    large_pair(tmp_path, hub, shards=4)
    hub.ranges = False
    completed, document = ask("user/adapter", "--base", "user/base")
    assert (completed.status, document["blockers"]) == (0, 0)
    # Of 6.6 GB: each answer is left off where the header ends. What sockets hold by then counts as sent, some MB each.
    assert hub.bytes_sent < 400_000_000


def test_a_mirror_that_lists_no_sizes(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    large_pair(tmp_path, hub)
    hub.sizes = False
    assert ask("user/adapter", "--base", "user/base")[0].status == 0


def test_answers_that_break_off_or_fail_are_asked_again(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    large_pair(tmp_path, hub, shards=1)
    hub.faults = [
        Fault("/blobs/", cut=100),
        Fault("/blobs/", status=503),
        Fault("api/models/user/base", status=429, headers={"Retry-After": "1"}),
    ]
    completed, document = ask("user/adapter", "--base", "user/base")
    assert (completed.status, document["blockers"]) == (0, 0)
    assert all(fault.times == 0 for fault in hub.faults)


def test_a_hub_that_keeps_failing(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    large_pair(tmp_path, hub)
    hub.faults = [Fault("api/models/user/adapter", status=429, headers={"Retry-After": "3600"}, times=100)]
    completed, _ = ask("user/adapter")
    assert completed.status == 4
    assert "limits the rate" in completed.stderr


def test_a_listing_with_names_that_leave_the_folder(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    large_pair(tmp_path, hub)
    hub.bad_names = ("../../.ssh/authorized_keys",)
    completed, _ = ask("user/adapter")
    assert completed.status == 5
    assert "which no repository can have" in completed.stderr


def test_a_truncated_file_on_the_hub(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "served", lora_shapes(llama_shapes()))
    with (folder / "adapter_model.safetensors").open("r+b") as stream:
        stream.truncate((folder / "adapter_model.safetensors").stat().st_size - 7)
    hub.add("user/adapter", folder)
    completed, document = ask("user/adapter")
    assert (completed.status, codes(document)[0]) == (1, "truncated-file")


def test_a_folder_of_that_name_wins(hub: HubSimulator, ask: Any, tmp_path: Path) -> None:
    large_pair(tmp_path, hub)
    shapes = llama_shapes()
    write_adapter(tmp_path / "user" / "adapter", lora_shapes(shapes), base=str(tmp_path / "small"))
    write_model(tmp_path / "small", shapes)
    completed, document = ask("user/adapter")
    assert (completed.status, document["commit"]) == (0, None)
    assert "hf://user/adapter means the Hub's" in completed.stderr
    assert ask("hf://user/adapter")[1]["commit"] is not None
