"""The commands of the how-tos, as written, by readers who have what each page takes for granted: a script, a base.

What needs Slurm, Docker or conda is parsed by tests/cli/test_page_commands.py; here `srun` runs what follows it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from envpin.core import process
from tests.support import recorded
from tests.support.adapters import copy
from tests.support.environments import pinned
from tests.support.hub_simulator import HubSimulator
from tests.support.pages import scripts
from tests.support.places import ROOT, SOURCE
from tests.support.training import finetune
from tests.support.transcripts import follow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOW_TO = ROOT / "docs" / "how-to"
SHOWN = "/home/ada/run"  # the folder that the pages use
pytestmark = pytest.mark.xdist_group("how-to")


def reader(folder: Path, environment: str, **more: str) -> dict[str, str]:
    """The variables of someone in whose shell `envpin` is installed, and `python` that of a training environment."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    if not (tools / "envpin").exists():
        (tools / "envpin").symlink_to(os.path.join(os.path.dirname(sys.executable), "envpin"))  # noqa: PTH118, PTH120
    path = os.pathsep.join([str(tools), str(pinned(environment).python.parent), os.environ["PATH"]])
    found = recorded.variables(PATH=path, NO_COLOR="1", **more)
    found.pop("COLUMNS", None)  # of xdist's
    return found


def typed(script: str, folder: Path, env: Mapping[str, str]) -> process.Completed:
    completed = process.run(["bash", "-euc", script], env=env, cwd=folder)
    assert completed.status == 0, completed.stderr
    return completed


@pytest.fixture
def trainer(tmp_path: Path) -> Path:
    """The folder of someone who trains: a script in git, a base, rows, and the code once more with another rate."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "train.py").write_text(recorded.FINETUNE.read_text())
    (folder / ".gitignore").write_text("*\n!train.py\n")
    for words in (["init", "--quiet"], ["add", "train.py"], ["commit", "--quiet", "-m", "one"]):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", *identity, "-C", str(folder), *words], check=True)
    recorded.base("peft012", tmp_path).rename(folder / "base")
    recorded.base.cache_clear()
    finetune.write_rows(str(folder / "rows.jsonl"))
    (folder / "training-env").symlink_to(pinned("qlora").path)
    (folder / "changed").mkdir()
    for name in ("base", "rows.jsonl"):
        (folder / "changed" / name).symlink_to(folder / name)
    (folder / "changed" / "train.py").write_text(
        recorded.FINETUNE.read_text().replace("asked.rate,", "asked.rate * 1.01,")
    )
    return folder


def test_record_prints_what_it_shows(trainer: Path) -> None:
    env = reader(trainer, "qlora")
    script = ("train.py", "--base", "base", "--data", "rows.jsonl", "--output", "unrecorded")
    recorded.run([pinned("qlora").python, *script], cwd=trainer, recorded=False)
    follow(HOW_TO / "record.md", trainer, env, SHOWN)


def test_repeat_a_run_prints_what_it_shows(trainer: Path) -> None:
    follow(HOW_TO / "repeat-a-run.md", trainer, reader(trainer, "qlora"), SHOWN)


def test_scan_prints_what_it_shows(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests" / "data" / "wild", tmp_path / "models")
    env = reader(tmp_path, "peft012", HOME=str(tmp_path), ENVPIN_HOME=str(tmp_path / "store"))
    follow(HOW_TO / "scan.md", tmp_path, env, "/home/ada")


def test_which_versions_prints_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    config = ROOT / "tests" / "data" / "configs" / "meta-llama--Llama-3.1-405B.json"
    shutil.copy(config, tmp_path / "my-model" / "config.json")
    (copy("plain", tmp_path) / "adapter").rename(tmp_path / "my-adapter")
    follow(HOW_TO / "which-versions.md", tmp_path, reader(tmp_path, "peft012"), SHOWN)


def test_fix_a_size_mismatch_prints_what_it_shows(tmp_path: Path) -> None:
    folder = copy("grown", tmp_path)
    with (folder / "train.log").open("w") as log:
        loading = [str(pinned("qlora").python), str(SOURCE / "demo" / "scripts" / "plain_merge.py"), "base", "adapter"]
        failed = subprocess.run(loading, cwd=folder, env=recorded.variables(), stderr=log, check=False)
    assert failed.returncode == 1
    follow(HOW_TO / "fix-a-size-mismatch.md", folder, reader(folder, "qlora"), SHOWN)


def test_mirrors_are_asked_as_the_page_says(tmp_path: Path) -> None:
    folder = copy("plain", tmp_path)
    with HubSimulator() as hub:
        commit = hub.add("user/base", folder / "base")
        for name in ("adapter_config.json", "envpin.json"):
            path = folder / "adapter" / name
            path.write_text(path.read_text().replace(str(folder / "base"), "user/base"))
        manifest = json.loads((folder / "adapter" / "envpin.json").read_text())
        manifest["base"] |= {"id": "user/base", "commit": commit, "path": None}
        (folder / "adapter" / "envpin.json").write_text(json.dumps(manifest))
        hub.add("user/adapter", folder / "adapter")
        here = hub.variables(tmp_path / "hub")
        endpoint = here.pop("HF_ENDPOINT")
        env = {**reader(tmp_path, "peft012"), **here}
        first, second = scripts((HOW_TO / "mirrors.md").read_text(encoding="utf-8"))
        index = os.environ.get("UV_DEFAULT_INDEX", "https://pypi.org/simple")
        typed(
            first.replace("https://pypi.example.org/simple", index).replace("https://hub.example.org", endpoint),
            tmp_path,
            env,
        )
        assert (tmp_path / "merged" / "envpin-merge.json").is_file()
        assert any("/user/base/" in path for path in hub.paths())
    typed(second, folder, {**env, "HF_ENDPOINT": endpoint})  # the Hub is gone by now; its files are in the cache
    assert (folder / "merged" / "envpin-merge.json").is_file()


def test_jobs_of_the_cluster_page_run_under_a_stand_in_for_slurm(tmp_path: Path) -> None:
    folder = copy("plain", tmp_path)
    env = reader(folder, "peft012", SCRATCH=str(tmp_path), ADAPTER="adapter", SLURM_CPUS_PER_TASK="2", USER="ada")
    srun = folder / "tools" / "srun"
    srun.write_text('#!/bin/bash\nwhile [[ "$1" == -* ]]; do shift; done\nexec "$@"\n')
    srun.chmod(0o755)
    (folder / "train.py").write_text(RANKS)
    page = (HOW_TO / "cluster.md").read_text(encoding="utf-8")
    train, merge = [script for script in scripts(page) if script.startswith("#!/bin/bash")]
    assert "--nproc-per-node=8 " in train
    told = typed(train.replace("node=8", "node=2"), folder, env).stderr
    assert told.count("recorded ") == 1, told
    assert json.loads((folder / "out" / "envpin.json").read_text())["run"]["world_size"] == 2
    typed(merge.replace("/shared/$USER/envpin", env["ENVPIN_HOME"]), folder, env)
    assert (tmp_path / "merged" / "envpin-merge.json").is_file()


# Ranks that meet, and of which the first one saves.
RANKS = """
import os
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

torch.distributed.init_process_group("gloo")
torch.distributed.barrier()
if os.environ["RANK"] == "0":
    model = AutoModelForCausalLM.from_pretrained("base")
    get_peft_model(model, LoraConfig(target_modules=["q_proj"])).save_pretrained("out")
torch.distributed.barrier()
"""
