"""`replay merge user/adapter` for real, on a simulated Hub: preflight first, then download, resumed after a kill."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.adapters import adapter
from tests.support.command import arguments, envpin, variables
from tests.support.hub_simulator import Fault, HubSimulator
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from envpin.core.process import Completed

pytestmark = pytest.mark.xdist_group("e2e")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubSimulator]:
    """The adapter `grown` and its base as pushed to the Hub; its manifest names the base by id and commit.

    The base moves on after training; its newer commit does not fit.
    """
    served = tmp_path / "served"
    shutil.copytree(adapter("grown"), served)
    with HubSimulator() as simulator:
        trained_on = simulator.add("user/base", served / "base")
        config = served / "adapter" / "adapter_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": "user/base"}))
        manifest = json.loads((served / "adapter" / "envpin.json").read_text())
        manifest["base"] = {**manifest["base"], "id": "user/base", "commit": trained_on, "path": None}
        (served / "adapter" / "envpin.json").write_text(json.dumps(manifest))
        simulator.add("user/adapter", served / "adapter")
        (served / "newer").mkdir()
        shutil.copy(served / "base" / "config.json", served / "newer")
        simulator.add("user/base", served / "newer")
        yield simulator


def merge(hub: HubSimulator, root: Path, *words: object, env: Mapping[str, str] | None = None) -> Completed:
    completed = envpin("replay", "merge", "user/adapter", *(words if "-o" in words else (*words, "-o", root / "out")),
                       env={**hub.variables(root / "home"), **(env or {})}, cwd=root)  # fmt: skip
    assert "Traceback" not in completed.stderr
    return completed


def break_off(hub: HubSimulator, digest: str, *, after: int) -> None:
    """The download of one file comes `after` bytes far; then the server fails for good."""
    hub.faults += [
        Fault(path=digest, cut=after, downloads=True),
        Fault(path=digest, status=503, times=1000, downloads=True),
    ]


def weights(hub: HubSimulator) -> list[Any]:
    return [one for one in hub.requests if one.server == "cdn" and one.method == "GET"]


def test_merged_at_the_recorded_commit_and_recorded(hub: HubSimulator, tmp_path: Path) -> None:
    completed = merge(hub, tmp_path, "--json")
    assert completed.status == 0, completed.stderr
    record = json.loads((tmp_path / "out" / "envpin-merge.json").read_text())
    base, trained = record["base"], record["adapter"]
    first, newer = hub.repos["user/base"].commits
    assert (base["id"], base["commit"], base["found"]) == ("user/base", first, "on the Hub")
    assert newer not in json.dumps(record)
    assert (trained["id"], trained["commit"]) == ("user/adapter", hub.repos["user/adapter"].refs["main"])
    assert record["verification"]["probe"]["ratio"] < 0.1
    assert (record["verdict"]["kind"], record["verdict"]["base_weights"]) == ("identical", "equal")
    # All of it is in the cache now: offline the same plan is made, and nothing is asked.
    asked = len(hub.requests)
    plan = json.loads(merge(hub, tmp_path, "--offline", "--dry-run", "--json", "-o", "other").stdout)["plan"]
    assert len(hub.requests) == asked
    assert plan["base"]["commit"] == first
    # Bytes that are not the repository's are refused, wherever they come from; nothing is fetched a second time.
    digest = hub.repos["user/base"].commits[first]["model.safetensors"].digest
    blob = next((tmp_path / "home").rglob(f"blobs/{digest}"))
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    before = len(weights(hub))
    shutil.rmtree(tmp_path / "out")
    changed = merge(hub, tmp_path)
    assert changed.status == 4
    assert "in the Hub cache is not the file that was published" in changed.stderr
    assert not (tmp_path / "out").exists()
    assert len(weights(hub)) == before


def test_what_will_not_merge_is_refused_before_the_weights_are_fetched(hub: HubSimulator, tmp_path: Path) -> None:
    config = tmp_path / "served" / "base" / "config.json"
    config.write_text(config.read_text().replace('"hidden_size": 64', '"hidden_size": 64, "quantization_config": '
                                                 '{"quant_method": "gptq", "bits": 4}'))  # fmt: skip
    commit = hub.add("user/quantized", tmp_path / "served" / "base")
    completed = merge(hub, tmp_path, "--base", f"user/quantized@{commit}")
    assert completed.status == 1
    assert "`user/adapter` cannot be merged as it is" in completed.stderr
    assert not list((tmp_path / "home").rglob("*.safetensors"))
    assert all(one.range is not None for one in weights(hub))


def exchanged(hub: HubSimulator, root: Path) -> str:
    """A commit of the base whose config.json is the recorded one, and whose weights are not."""
    path = root / "served" / "base" / "model.safetensors"
    data = bytearray(path.read_bytes())
    for at in range(len(data) - 4096, len(data), 2):
        data[at] ^= 1
    path.write_bytes(data)
    return hub.add("user/base", root / "served" / "base")


def known_by(hub: HubSimulator, root: Path, *left_out: str) -> None:
    """The adapter as a run recorded it that knew less of its base."""
    path = root / "served" / "adapter" / "envpin.json"
    manifest = json.loads(path.read_text())
    manifest["base"] = {name: value for name, value in manifest["base"].items() if name not in left_out}
    path.write_text(json.dumps(manifest))
    hub.add("user/adapter", root / "served" / "adapter")


def planned(hub: HubSimulator, root: Path, *words: str) -> tuple[int, str, list[str]]:
    """Exit status, what the plan says of the base's weights, and its blockers."""
    completed = merge(hub, root, "--dry-run", "--json", *words)
    plan = json.loads(completed.stdout)["plan"]
    blockers = [one["code"] for one in plan["findings"] if one["severity"] == "blocker"]
    return completed.status, plan["base"]["weights"], blockers


def test_an_exchanged_base_is_refused_by_its_published_digests(hub: HubSimulator, tmp_path: Path) -> None:
    other = exchanged(hub, tmp_path)
    assert planned(hub, tmp_path) == (0, "equal", [])  # the recorded commit is still there
    assert planned(hub, tmp_path, "--base", f"user/base@{other}") == (1, "differ", ["base-weights-differ"])
    completed = merge(hub, tmp_path, "--base", f"user/base@{other}")
    assert completed.status == 1
    assert "base-weights-differ" in completed.stderr
    assert not list((tmp_path / "home").rglob("*.safetensors"))
    assert not (tmp_path / "out").exists()


def test_a_base_recorded_by_commit_alone_is_equal_there_and_nowhere_else(hub: HubSimulator, tmp_path: Path) -> None:
    other = exchanged(hub, tmp_path)
    known_by(hub, tmp_path, "weights", "files")
    assert planned(hub, tmp_path)[:2] == (0, "equal")
    status, weights, blockers = planned(hub, tmp_path, "--base", f"user/base@{other}")
    assert (status, blockers) == (0, [])
    assert weights not in {"equal", "sampled"}, "what was not recorded is not equal"


def test_a_plan_downloads_nothing(hub: HubSimulator, tmp_path: Path) -> None:
    completed = merge(hub, tmp_path, "--dry-run")
    assert completed.status == 0, completed.stderr
    assert "user/adapter on the Hub, at" in completed.stdout
    assert not list((tmp_path / "home").rglob("*.safetensors"))


def test_a_download_draws_how_far_it_is_and_ctrl_c_keeps_it(hub: HubSimulator, tmp_path: Path) -> None:
    file = next(iter(hub.repos["user/base"].commits.values()))["model.safetensors"]
    break_off(hub, file.digest, after=file.size // 2)
    shown = {"TERM": "xterm-256color", "COLUMNS": "160", "LINES": "40"}
    command = arguments("replay", "merge", "user/adapter", "-o", tmp_path / "out")
    with Terminal(command, env=variables({**hub.variables(tmp_path / "home"), **shown})) as terminal:
        commit = next(iter(hub.repos["user/base"].commits))
        terminal.expect(f"download user/base@{commit[:12]}  ", within=120)
        terminal.expect("model.safetensors (", within=30)
        terminal.expect(f"/{file.size / 1000:.1f} kB", within=30)
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.screen
    (partial,) = (tmp_path / "home").rglob(f"{file.digest}.envpin-partial")
    assert 0 < partial.stat().st_size <= file.size // 2
    assert not (tmp_path / "out").exists()


def test_a_killed_download_goes_on_where_it_was(hub: HubSimulator, tmp_path: Path) -> None:
    digest = next(iter(hub.repos["user/base"].commits.values()))["model.safetensors"].digest
    break_off(hub, digest, after=120_000)
    command = arguments("replay", "merge", "user/adapter", "-o", tmp_path / "out")
    with subprocess.Popen(command, env=variables(hub.variables(tmp_path / "home")), stderr=subprocess.PIPE) as running:
        deadline = time.monotonic() + 120
        held = 0
        while not held:
            assert running.poll() is None, running.stderr.read() if running.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.02)
            held = sum(one.stat().st_size for one in (tmp_path / "home").rglob(f"{digest}.envpin-partial"))
        running.send_signal(signal.SIGKILL)
    held = next((tmp_path / "home").rglob(f"{digest}.envpin-partial")).stat().st_size
    hub.faults.clear()
    hub.requests.clear()
    completed = merge(hub, tmp_path)
    assert completed.status == 0, completed.stderr
    assert f"bytes={held}-" in [one.range for one in weights(hub)]
    assert not list((tmp_path / "home").rglob("*.envpin-partial"))


@pytest.mark.parametrize(
    ("env", "status", "words"),
    [({}, 2, "gated"), ({"HF_TOKEN": "wrong"}, 2, "no access"), ({"HF_TOKEN": "opens"}, 0, "")],
    ids=["no token", "a token without access", "a token that opens it"],
)
def test_a_gated_base(hub: HubSimulator, tmp_path: Path, env: dict[str, str], status: int, words: str) -> None:
    hub.repos["user/base"].gated = "opens"
    completed = merge(hub, tmp_path, "--dry-run", env=env)
    assert completed.status == status, completed.stderr
    assert words in completed.stderr
    assert all("opens" not in (one.authorization or "") for one in hub.requests if one.server == "cdn")


def test_a_missing_adapter_and_offline_without_a_cache(hub: HubSimulator, tmp_path: Path) -> None:
    environment = hub.variables(tmp_path / "home")
    missing = envpin("replay", "merge", "user/nothing", "-o", tmp_path / "out", env=environment)
    assert (missing.status, "`user/nothing` is no repository" in missing.stderr) == (2, True)
    offline = merge(hub, tmp_path, "--offline")
    assert offline.status == 4
    assert "is not in the Hub cache, and offline was asked for" in offline.stderr
