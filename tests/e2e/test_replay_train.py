"""`envpin replay train` for real: a recorded run of HF Trainer repeated from its commit and diff, and made to part."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from envpin.manifest.read import read_manifest
from envpin.manifest.trace import read_trace
from tests.support import recorded
from tests.support.environments import pinned
from tests.support.recorded import ENVPIN, FINETUNE
from tests.support.training import finetune

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = "qlora"
INPUTS = ("--base", "base-peft012", "--data", "rows.jsonl")
pytestmark = pytest.mark.xdist_group("replay-train")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a script with a change that is not committed; the script has been changed again since."""
    folder = tmp_path_factory.mktemp("replay-train") / "work"
    folder.mkdir()
    (folder / "train.py").write_text(FINETUNE.read_text())
    (folder / ".gitignore").write_text("base-*\nout*\nrows.jsonl\n")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "one"]):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", *identity, "-C", str(folder), *words], check=True)
    with (folder / "train.py").open("a") as script:
        script.write("# changed, not committed\n")
    recorded.base("peft012", folder)
    finetune.write_rows(str(folder / "rows.jsonl"))
    ran = recorded.run([pinned(ENVIRONMENT).python, "train.py", *INPUTS, "--output", "out"], cwd=folder)
    assert ran.returncode == 0, ran.stderr
    (folder / "train.py").write_text("raise SystemExit('not the script that was recorded')\n")
    return folder


def replay(
    place: Path, *options: str | Path, child: tuple[str, ...] = (), of: str = "out"
) -> tuple[int, dict[str, Any], str]:
    elsewhere = place.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    command = [*ENVPIN, "replay", "train", str(place / of), "--json", *map(str, options)]
    ended = subprocess.run([*command, *(["--", *child] if child else [])], cwd=elsewhere, env=recorded.variables(),
                           capture_output=True, text=True, check=False, timeout=600)  # fmt: skip
    return ended.returncode, json.loads(ended.stdout) if ended.stdout else {}, ended.stderr


def test_a_strangers_script_is_not_run_without_trust(place: Path, tmp_path: Path) -> None:
    status, answer, _ = replay(place, "-o", tmp_path / "again")
    assert status == 5
    assert answer["error"]["kind"] == "refused"
    assert not (tmp_path / "again").exists()


def test_a_run_is_repeated_from_its_commit_and_diff_and_is_identical(place: Path, tmp_path: Path) -> None:
    before = recorded.contents(place / "out")
    status, answer, told = replay(place, "-o", tmp_path / "again", "--trust-script")
    assert status == 0, told
    assert answer["replay"]["verdict"] == "identical"
    assert (answer["replay"]["adapter"], answer["replay"]["steps"]) == ("identical", 8)
    assert answer["code"].endswith(" with its diff")
    weights = "adapter_model.safetensors"
    assert (tmp_path / "again" / "run" / weights).read_bytes() == before[weights]
    assert recorded.contents(place / "out") == before
    assert (place / "train.py").read_text().startswith("raise SystemExit")
    shutil.rmtree(tmp_path / "again")


def test_a_changed_script_is_named_with_its_first_step_and_a_prefix_ends_where_asked(
    place: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("base-peft012", "rows.jsonl"):
        (source / name).symlink_to(place / name)
    (source / "train.py").write_text(FINETUNE.read_text().replace("asked.rate,", "asked.rate * 1.01,"))
    options = ("-o", tmp_path / "again", "--trust-script", "--once", "--steps", "3", "--source", source)
    status, answer, told = replay(place, *options)
    assert status == 1, told
    found = answer["replay"]
    assert (found["verdict"], found["cause"], found["steps"]) == ("diverged", "learning rate", 3)
    assert (found["first"]["step"], found["first"]["sign"]) == (1, "learning rate")
    assert found["adapter"] == "not compared"
    repeated = read_manifest(tmp_path / "again" / "run").training
    assert repeated is not None
    assert (repeated.steps, repeated.max_steps) == (3, 8)  # it was ended; its schedule is that of eight steps


def test_a_repeat_that_parts_because_of_a_late_seed_was_foretold_by_the_preflight(place: Path, tmp_path: Path) -> None:
    """As AutoTrain does: the adapter draws its first weights before anything is seeded."""
    (place / "late.py").write_text(FINETUNE.read_text())
    options = ("--output", "out-late", "--late-seed", "--steps", "2")
    ran = recorded.run([pinned(ENVIRONMENT).python, "late.py", *INPUTS, *options], cwd=place)
    assert ran.returncode == 0, ran.stderr
    assert "a repeat of this run may differ: adapter-before-seed" in ran.stderr
    status, answer, told = replay(place, "-o", tmp_path / "again", "--trust-script", "--once", of="out-late")
    assert status == 1, told
    found = answer["replay"]
    assert (found["verdict"], found["cause"], found["first"]["step"]) == ("diverged", "seed", 0)
    assert found["because"][0]["what"] == "torch's seed when the adapter was made"


def test_a_run_whose_rows_have_changed_is_not_repeated_unless_forced(place: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(place / "base-peft012", source / "base-peft012")
    (source / "train.py").write_text(FINETUNE.read_text())
    finetune.write_rows(str(source / "rows.jsonl"))
    weights = source / "base-peft012" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    options = ("-o", tmp_path / "again", "--trust-script", "--once", "--steps", "1", "--source", source)
    status, answer, _ = replay(place, *options)
    assert (status, answer["error"]["kind"]) == (1, "check-failed")
    assert f"`{place / 'base-peft012' / 'model.safetensors'}` has changed" in answer["error"]["message"]
    shutil.rmtree(tmp_path / "again", ignore_errors=True)
    status, answer, told = replay(place, *options, "--force")
    assert status == 1, told
    assert answer["replay"]["cause"] == "base weights"


def test_a_run_of_two_processes_is_one_record_that_one_process_cannot_repeat(place: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = pinned(ENVIRONMENT).python.parent / "torchrun"
    # a group that is left open can abort its process at the end, as torch warns
    ended = """
import torch.distributed

if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
"""
    (place / "ranks.py").write_text(FINETUNE.read_text() + ended)
    words = ("ranks.py", *INPUTS, "--output", "out-ranks", "--steps", "3")
    ran = recorded.run([torchrun, "--nproc_per_node", "2", "--master_port", str(port), *words], cwd=place,
                       options=["--check-determinism"])  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("recorded out-ranks/envpin.json") == 1
    assert ran.stderr.count("[world-size-in-batch]") == 1
    training = read_manifest(place / "out-ranks").training
    assert training is not None
    assert (training.world_size, training.steps) == (2, 3)
    options = ("-o", tmp_path / "again", "--trust-script", "--once", "--source", place)
    status, answer, told = replay(place, *options, child=("python", *words), of="out-ranks")
    assert status == 1, told
    found = answer["replay"]
    assert (found["verdict"], found["cause"]) == ("not comparable", "world size")
    assert (found["because"][0]["before"], found["because"][0]["after"]) == ("2", "1")


def test_the_first_steps_are_a_probe_that_prints_the_recorded_loss(place: Path) -> None:
    trace = read_trace(place / "out", None)
    assert trace is not None
    environment = recorded.variables(VIRTUAL_ENV=str(pinned(ENVIRONMENT).path))
    command = [
        *ENVPIN,
        "replay",
        "train",
        str(place / "out"),
        "--environment",
        "active",
        "--print-loss",
        "--steps",
        "2",
    ]
    ended = subprocess.run([*command, "--trust-script"], env=environment, cwd=place, capture_output=True, text=True,
                           check=False, timeout=600)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout) == next(one.loss for one in trace.steps if one.step == 2)


def test_a_search_by_a_recorded_run_needs_its_trust(place: Path) -> None:
    ends = ("--good", "4.57.0", "--bad", "4.57.1")
    command = [*ENVPIN, "bisect", "transformers", *ends, "--training", str(place / "out")]
    for more, status in ((("--metric",), 5), (("--trust-script",), 2)):
        ended = subprocess.run([*command, *more], env=recorded.variables(), capture_output=True, text=True, check=False)
        assert ended.returncode == status, ended.stderr
