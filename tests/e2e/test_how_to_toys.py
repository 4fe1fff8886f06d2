"""The how-tos whose environments would be gigabytes, typed as written over an index of toys with the same names."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpin.core import process
from tests.support.adapters import copy
from tests.support.command import variables
from tests.support.fake_libraries import loading_only
from tests.support.places import ROOT
from tests.support.toys import Toys
from tests.support.walks import Walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOOLS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
LLAMA = {"llama3.1": "llama"}
pytestmark = pytest.mark.xdist_group("how-to-toys")


@pytest.fixture
def toys(tmp_path: Path) -> Iterator[Toys]:
    with Toys(tmp_path, **LLAMA) as world:
        yield world


def shell(toys: Toys, **more: str) -> dict[str, str]:
    return {**toys.variables(), "PATH": TOOLS, **more}


def installed(env: Mapping[str, str]) -> set[str]:
    """`name-version` of everything in every environment of the store."""
    found = Path(env["ENVPIN_HOME"]).glob("environments/*/lib/python3*/site-packages/*.dist-info")
    return {path.name.removesuffix(".dist-info") for path in found}


def test_clean_up_frees_what_it_says(toys: Toys, tmp_path: Path) -> None:
    env = shell(toys)
    for ref in ("llama3.1", "numpy==1.26.4"):
        made = process.run(["envpin", "env", "create", ref], env=env)
        assert made.status == 0, made.stderr
    walk = Walk("clean-up.md", tmp_path, env)
    told = walk.type()
    walk.end()
    assert "in 2 environments" in told
    assert told.count("removed ") == 2, told
    assert installed(env) == set()


def test_gpu_builds_are_those_asked_for(toys: Toys, tmp_path: Path) -> None:
    for build in ("cpu", "cu124", "cu121"):
        version = f"__version__ = '2.4.0+{build}'\n"
        toys.publish("torch", f"2.4.0+{build}", code=version)
    env = shell(toys)
    walk = Walk("gpu-builds.md", copy("plain", tmp_path), variables({"PATH": TOOLS}))
    assert "torch 2.13.0" in walk.type()
    walk.env = dict(env)
    walk.type()
    walk.type(instead={"https://mirror.example.org/pytorch/whl": toys.index.url})
    walk.type(instead={"https://wheels.example.org/cu121/simple": toys.index.url})
    walk.end()
    assert {f"torch-2.4.0+{build}" for build in ("cpu", "cu124", "cu121")} <= installed(env)
    assert "torch-2.4.0" not in installed(env)


def test_whole_stack_answers_as_shown(tmp_path: Path) -> None:
    """The first question is put to the real index, the others to toys of the versions that it has."""
    (tmp_path / "my-model").mkdir()
    config = ROOT / "tests" / "data" / "configs" / "meta-llama--Llama-3.1-405B.json"
    shutil.copy(config, tmp_path / "my-model" / "config.json")
    walk = Walk("whole-stack.md", tmp_path, variables({"PATH": TOOLS, "UV_FIND_LINKS": ""}))
    walk.type()
    with Toys(tmp_path) as toys:
        for name, release, day, *requires in STACK:
            toys.publish(name, release, *requires, uploaded=f"{day}T00:00:00Z")
        env = walk.env = {**shell(toys), "ENVPIN_MATRIX": ""}
        told = walk.type()
        assert "trl==0.19.1, vllm==0.9.2, transformers==4.51.3" in told
        assert "llamafactory==" in told
        walk.type()
        walk.type()
        walk.end()
        assert {"vllm-0.9.2", "trl-0.19.1", "torch-2.7.0"} <= installed(env)
    lock = (tmp_path / "pylock.Qwen3-30B-A3B-train-serve.toml").read_text(encoding="utf-8")
    assert 'name = "vllm"\nversion = "0.9.2"' in lock


# When the releases that the page's answers name appeared, and what they declare of each other.
STACK = (
    ("transformers", "4.49.0", "2025-02-17"), ("transformers", "4.51.3", "2025-04-14"),
    ("transformers", "4.57.1", "2025-10-14"), ("transformers", "5.6.0", "2026-04-22"),
    ("peft", "0.15.2", "2025-04-15"), ("peft", "0.18.1", "2026-01-09"),
    ("accelerate", "1.2.1", "2024-12-13"), ("accelerate", "1.11.0", "2025-10-20"), ("numpy", "2.2.6", "2025-05-17"),
    ("torch", "2.7.0", "2025-04-23"), ("torch", "2.8.0", "2025-08-06"), ("torch", "2.15.0", "2026-10-14"),
    ("trl", "0.19.1", "2025-07-08", "transformers>=4.50.0", "accelerate>=1.4.0"),
    ("vllm", "0.9.2", "2025-07-08", "torch==2.7.0", "transformers>=4.51.1"),
    ("vllm", "0.11.0", "2025-10-04", "torch==2.8.0", "transformers>=4.55.2", "numpy>=2"),
    ("llamafactory", "0.9.2", "2025-03-11", "transformers<=4.49.0", "peft<=0.12.0", "accelerate<=1.2.1", "numpy<2.0.0"),
    ("llamafactory", "0.9.5", "2026-05-08", "transformers<=5.6.0,>=4.55.0", "peft<=0.18.1,>=0.18.0",
     "accelerate<=1.11.0,>=1.3.0"),
)  # fmt: skip


def test_families_are_verified_as_shown(tmp_path: Path) -> None:
    """The toys load a model and do nothing else, so that `--capability load` is put behind every line."""
    with Toys(tmp_path, **LLAMA, **{"qwen2.5": "qwen2"}) as toys:
        libraries(toys)
        matrix = tmp_path / "compat_matrix.toml"
        shutil.copy(toys.folder / "matrix.toml", matrix)
        walk = Walk("verify-a-family.md", tmp_path, shell(toys))
        only = " --capability load"
        assert walk.type(instead={"qwen2.5\n": f"qwen2.5{only}\n"}).count("✓ load") == 2
        told = walk.type(instead={"4.43.1\n": f"4.43.1{only}\n", "-j 4": f"-j 4{only}"})
        assert told.count("✓ load") == 2 + 8
        merged_once(matrix, walk.env)
        told = walk.type(instead={"torch==2.13.0": f"torch==2.13.0{only}"})
        assert "4.57.6  5.0.0" in told
        walk.type(instead={"--capability merge": only})
        walk.type(instead={"runs.json ": f"runs.json{only} ", "--update ": f"--update{only} "})
        assert (tmp_path / "runs.json").is_file()
        walk.stand_in("pip", '[ "$*" = "install .[dask]" ]\n')
        walk.type()
        with background(walk) as address:
            told = walk.type(instead={"tcp://HOST:8786": address, "<5.1'": f"<5.1' --again{only}"})
        assert told.count("✓ load") == 8
        walk.end()


RELEASED = {
    "4.42.4": "2024-07-11", "4.43.1": "2024-07-23", "4.44.2": "2024-08-22", "4.45.0": "2024-09-25",
    "4.55.4": "2025-08-22", "4.56.2": "2025-09-17", "4.57.6": "2026-01-16", "5.0.0": "2026-01-26",
}  # fmt: skip


def libraries(toys: Toys) -> None:
    torch, transformers = loading_only()
    table = "CONFIG_MAPPING_NAMES = {'llama': 'LlamaConfig', 'qwen2': 'Qwen2Config'}\n"
    for release, day in RELEASED.items():
        toys.publish(
            "transformers", release, code=transformers.replace("{version}", release), uploaded=f"{day}T00:00:00Z",
            files={"transformers/models/auto/configuration_auto.py": table},
        )  # fmt: skip
    for release in ("2.4.0", "2.4.1", "2.8.0", "2.10.0", "2.13.0"):
        toys.publish("torch", release, code=torch)
    for release in ("0.13.2", "0.17.1", "0.18.1"):
        toys.publish("peft", release)


def merged_once(matrix: Path, env: Mapping[str, str]) -> None:
    """Evidence that transformers 4.56.2 merges, from which `--since-last` goes on: the toys' own, of loading."""
    words = [
        "llama3.1",
        "qwen2.5",
        "--transformers",
        "4.56.2",
        "--capability",
        "load",
        "--update",
        "--matrix",
        str(matrix),
    ]
    known = process.run(["envpin", "matrix", "verify", *words], env=env)
    assert known.status == 0, known.stderr
    evidence = matrix.with_name("compat_matrix.evidence.json")
    evidence.write_text(evidence.read_text().replace('"load"', '"merge"'))


def workers_of(address: str) -> int:
    """How many workers the scheduler knows; 0 while there is none, or no scheduler yet."""
    import distributed

    try:
        with distributed.Client(address, timeout="2s") as client:  # type: ignore[no-untyped-call]
            return len(client.scheduler_info()["workers"])
    except OSError:
        return 0


@contextmanager
def background(walk: Walk) -> Iterator[str]:
    """The scheduler and one worker of the page's next two blocks; the address that stands for `tcp://HOST:8786`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = f"{walk.take('sh').split('#')[0].strip()} --host 127.0.0.1 --port {port} --no-dashboard"
    worker = walk.take("sh").split("#")[0].strip().replace("tcp://HOST:8786", address)
    env = {**walk.env, "ENVPIN_HOME": str(walk.folder / "elsewhere")}
    started = [
        subprocess.Popen(["bash", "-c", f"exec {words}"], env=env, cwd=walk.folder, stderr=subprocess.DEVNULL)
        for words in (scheduler, f"{worker} --no-dashboard")
    ]
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not workers_of(address):
            time.sleep(0.2)
        yield address
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.wait(timeout=30)
