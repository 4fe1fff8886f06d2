"""The commands of the how-tos, as written, by readers who have what each page takes for granted: a script, a base.

Pages whose merges or notebooks are tested elsewhere are typed there; `test_every_page_is_typed` knows that none is
missing. What only another machine has is played by stand-ins: `tests.support.walks.STAND_INS` says which, and why.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpin.core import process
from envpin.envs.uv.command import find_uv
from tests.support import recorded
from tests.support.adapters import copy
from tests.support.environments import pinned
from tests.support.hub_simulator import HubSimulator
from tests.support.places import ROOT, SOURCE
from tests.support.training import finetune
from tests.support.transcripts import follow
from tests.support.walks import HOW_TO, SHOWN, STAND_INS, Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

TESTS = ROOT / "tests"
OWN, PAGES_OF_A_MERGE = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in (
    "test_how_to_pages.py", "test_pages.py",
))  # fmt: skip
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
        index = os.environ.get("UV_DEFAULT_INDEX", "https://pypi.org/simple")
        walk = Walk("mirrors.md", tmp_path, env)
        walk.type(instead={"https://pypi.example.org/simple": index, "https://hub.example.org": endpoint})
        assert (tmp_path / "merged" / "envpin-merge.json").is_file()
        assert any("/user/base/" in path for path in hub.paths())
    walk.folder = folder
    walk.type()  # the Hub is gone by now; its files are in the cache
    walk.end()
    assert (folder / "merged" / "envpin-merge.json").is_file()


def test_jobs_of_the_cluster_page_run_under_a_stand_in_for_slurm(tmp_path: Path) -> None:
    folder = copy("plain", tmp_path)
    env = reader(folder, "peft012", SCRATCH=str(tmp_path), ADAPTER="adapter", SLURM_CPUS_PER_TASK="2", USER="ada")
    (folder / "train.py").write_text(RANKS)
    walk = Walk("cluster.md", folder, env)
    walk.stand_in("srun", 'while [[ "$1" == -* ]]; do shift; done\nexec "$@"\n')
    walk.type(instead={"/shared/$USER/envpin": env["ENVPIN_HOME"]})
    walk.type(instead={"/shared/models/envpin": env["ENVPIN_HOME"]})
    told = walk.type(instead={"node=8": "node=2"})
    assert told.count("recorded ") == 1, told
    assert json.loads((folder / "out" / "envpin.json").read_text())["run"]["world_size"] == 2
    walk.type(instead={"/shared/$USER/envpin": "$ENVPIN_HOME"})
    walk.end()
    assert (tmp_path / "merged" / "envpin-merge.json").is_file()
    assert not list((tmp_path / "envpin").glob("environments/*/pyvenv.cfg"))  # that of the shared store was used


def test_docker_page_builds_records_and_merges(tmp_path: Path) -> None:
    folder = beginner(tmp_path)
    env = reader(tmp_path, "peft012")
    (tmp_path / "tools" / "envpin").unlink()
    walk = Walk("docker.md", folder, env)
    lines = dict(line.split(" ", 1) for line in walk.take("dockerfile").splitlines())
    assert lines["COPY"] == "envpin /opt/envpin-src"
    walk.stand_in("pip", '[ "$*" = "install uv" ]\n')
    (tmp_path / "tools" / "uv").symlink_to(find_uv().path)
    built = lines["RUN"].replace("/opt/envpin-src", str(ROOT)).replace("/usr/local/bin", str(tmp_path / "tools"))
    typed(built, folder, {**walk.env, "UV_TOOL_DIR": str(tmp_path / "image"), "UV_PYTHON": sys.executable})
    started = process.run([*json.loads(lines["ENTRYPOINT"]), *json.loads(lines["CMD"])], env=walk.env, cwd=folder)
    assert started.status == 0, started.stderr
    assert "recorded adapter/envpin.json" in started.stderr
    (tmp_path / "volumes").mkdir()
    (tmp_path / "volumes" / "envpin-store").symlink_to(env["ENVPIN_HOME"])
    walk.env["VOLUMES"] = str(tmp_path / "volumes")
    walk.stand_in("docker", DOCKER)
    walk.type()
    assert (folder / "merged" / "envpin-merge.json").is_file()
    walk.type()
    walk.end()
    exported = (folder / "Dockerfile").read_text()
    pinned_lines = [line for line in exported.splitlines() if re.match(r"[a-z0-9-]+==", line)]
    assert "FROM python:3.11-slim" in exported
    assert any(line.startswith("peft==0.12.0 ") for line in pinned_lines)
    assert all("--hash=sha256:" in line for line in pinned_lines)


def test_conda_page_records_and_exports(tmp_path: Path) -> None:
    folder = beginner(tmp_path)
    conda_form(folder / "training", pinned("peft012").path)
    walk = Walk("conda.md", folder, reader(tmp_path, "qlora"))
    walk.function("conda", CONDA)
    walk.type()
    manifest = json.loads((folder / "adapter" / "envpin.json").read_text())
    assert [one["name"] for one in manifest["conda"]] == ["cuda-cudart", "libblas"]
    walk.type()
    shutil.copytree(folder / "adapter", folder / "unrecorded", ignore=shutil.ignore_patterns("envpin*"))
    walk.type()
    assert json.loads((folder / "unrecorded" / "envpin.json").read_text())["conda"] == manifest["conda"]
    walk.type()
    walk.end()


def beginner(tmp_path: Path) -> Path:
    """A folder with a base and a script that trains an adapter over it."""
    folder = tmp_path / "run"
    folder.mkdir()
    recorded.base("peft012", tmp_path).rename(folder / "base")
    recorded.base.cache_clear()
    (folder / "train.py").write_text(TRAIN)
    return folder


def conda_form(folder: Path, environment: Path) -> None:
    """An environment in conda's form: two packages of conda, and the interpreter and libraries of another one."""
    (folder / "conda-meta").mkdir(parents=True)
    for name, channel in (("cuda-cudart-12.1.105-0", "nvidia"), ("libblas-3.9.0-24_linux64_mkl", "conda-forge")):
        document = {"build": "x", "channel": f"https://conda.anaconda.org/{channel}/linux-64"}
        (folder / "conda-meta" / f"{name}.json").write_text(json.dumps(document))
    shutil.copy(environment / "pyvenv.cfg", folder)
    for name in ("bin", "lib"):
        (folder / name).symlink_to(environment / name)


@pytest.mark.parametrize("page", sorted(HOW_TO.glob("*.md")), ids=lambda page: page.name)
def test_every_page_is_typed(page: Path) -> None:
    """A page that shows what to type is named by a test that types it all, and no stand-in is left over."""
    text = page.read_text(encoding="utf-8")
    walked = [
        path.name for path in TESTS.rglob("test_*.py") if f'Walk("{page.name}"' in path.read_text(encoding="utf-8")
    ]
    followed = f'follow(HOW_TO / "{page.name}"' in PAGES_OF_A_MERGE + OWN
    followed = followed or f'"how-to" / "{page.name}"' in PAGES_OF_A_MERGE
    languages = set(re.findall(r"^```(\w*)\n(?:.*?)^```$", text, re.MULTILINE | re.DOTALL))
    if languages & {"sh", "bash"}:
        assert walked, "a page with blocks of sh is walked"
    if "console" in languages:
        assert walked or followed
    for program in (program for name, program in STAND_INS if name == page.name):
        assert re.search(rf"^(?:RUN )?{program} ", text, re.MULTILINE), f"`{program}` is not on the page"


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

TRAIN = """
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

lora = LoraConfig(target_modules=["q_proj"], init_lora_weights=False)  # as if trained: B is not zero
model = get_peft_model(AutoModelForCausalLM.from_pretrained("base"), lora)
model.save_pretrained("adapter")
AutoTokenizer.from_pretrained("base").save_pretrained("adapter")
"""

# `run` with the options of the page, on this machine; `build` of the exported Dockerfile.
DOCKER = """
if [ "$*" = "build -t trained-in ." ]; then test -s Dockerfile; exit; fi
[ "$1 $2" = "run --rm" ]
shift 2
while [[ "$1" == -* ]]; do
  case "$1" in
    -v) mounts+=("$2") ;;
    -e) export "$2" ;;
    -w) inside="$2" ;;
    *) exit 64 ;;
  esac
  shift 2
done
[ "$1" = IMAGE ]
shift
volume=
for mount in "${mounts[@]}"; do
  if [ "${mount#*:}" = "$inside" ]; then cd "${mount%%:*}"; fi
  if [ "${mount#*:}" = "$ENVPIN_HOME" ]; then volume="${mount%%:*}"; fi
done
ENVPIN_HOME="$VOLUMES/${volume:?no volume for the store}" exec "$@"
"""

CONDA = """
  case "$1 $2" in
    "activate training")
      export CONDA_PREFIX="$PWD/training" CONDA_DEFAULT_ENV=training PATH="$PWD/training/bin:$PATH" ;;
    "env create")
      [ "$3 $4" = "-f environment.yml" ] && grep -q '^  - python=3.11$' environment.yml &&
        grep -q '"peft==0.12.0 --hash=sha256:' environment.yml ;;
    *) return 64 ;;
  esac
"""
