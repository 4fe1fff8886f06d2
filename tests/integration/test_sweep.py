"""`matrix verify` as a machine: what it does about kills, hangs, crashes, Ctrl-C, networks and other machines.

The environments are built by real uv from stand-ins for torch and transformers; test_verify_real.py has real ones.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from envpin.core import process
from envpin.envs.machine import this_platform
from envpin.envs.refs.pins import Resolver
from envpin.envs.store.store import Store
from envpin.matrix.load import load_matrix
from envpin.matrix.results import load_results, read_document
from envpin.sweep.unit import FamilyJob, Unit, run_unit
from tests.support.command import arguments, variables
from tests.support.simple_index import SimpleIndex
from tests.support.sweeping import PLAIN, Place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def until(condition: Any, *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def test_a_hang_a_crash_and_a_refusal_are_outcomes_and_stop_nobody(place: Place) -> None:
    completed = place.verify("bert", "whisper", "falcon", "gpt2", "--timeout", "5", "-o", str(place.folder / "e.json"))
    assert completed.status == 1, completed.stderr  # falcon fails in what the matrix allows
    found = {one.family: one for one in read_document(place.folder / "e.json").entries}
    assert {name: one.outcome for name, one in found.items()} == {
        "bert": "timeout", "whisper": "fail", "falcon": "fail", "gpt2": "ok"
    }  # fmt: skip
    assert found["bert"].error == "no answer in 5 s"
    assert found["whisper"].error == "the interpreter crashed: SIGABRT"
    assert found["falcon"].error == "KeyError: 'falcon'"
    assert found["gpt2"].packages["transformers"] == "4.43.1"
    assert "differs  families.falcon.known_good[0]" in completed.stderr


def test_without_forks_each_family_has_a_process_of_its_own(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in place.env.items():
        monkeypatch.setenv(name, value)
    spec = Resolver(root=place.folder / "store").pins(
        ["torch==2.4.0", "transformers==4.43.1", "peft==0.12.0", "safetensors", "numpy"]
    )
    store = Store(place.folder / "store")
    jobs = tuple(
        FamilyJob(family=name, steps=("load", "forward"), folder=str(place.folder / name))
        for name in ("bert", "whisper", "gpt2")
    )
    unit = Unit(key=store.key(spec), name="x", lock=spec.lock.text, python=spec.python, platform=this_platform(),
                jobs=jobs, timeout=3.0, root=str(store.root), fork=False)  # fmt: skip
    told = [(one["family"], one["capability"], one["outcome"], one["error"]) for one in run_unit(unit).outcomes]
    assert told[:4] == [
        ("bert", "load", "timeout", "no answer in 6 s"),
        ("bert", "forward", "untestable", "not tried: load did not come back"),
        ("whisper", "load", "fail", "the interpreter crashed: SIGABRT"),
        ("whisper", "forward", "untestable", "not tried: load did not come back"),
    ]
    assert told[4] == ("gpt2", "load", "ok", "")


def test_after_a_kill_nothing_finished_is_repeated(place: Place) -> None:
    child = process.start(arguments(*place.words(*PLAIN)), env=variables(place.env))
    until(lambda: len(place.outcomes()) >= 2)
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = place.outcomes()
    assert 2 <= len(before) < len(PLAIN)
    with place.journal.open("a", encoding="utf-8") as stream:
        stream.write('{"event": "outcome", "key"')  # as if it had been killed while it wrote
    completed = place.verify(*PLAIN)
    assert completed.status == 0, completed.stderr
    assert f"{len(PLAIN)} steps, {len(before)} known already" in completed.stderr
    after = place.outcomes()
    assert after[: len(before)] == before
    assert sorted(one["family"] for one in after) == sorted(PLAIN), "each of them once"
    again = place.verify(*PLAIN)
    assert (again.status, place.outcomes()) == (0, after)


def test_ctrl_c_ends_the_workers_and_the_next_run_goes_on(place: Place) -> None:
    child = process.start(arguments(*place.words("gpt2", "bert")), env=variables(place.env))
    until(lambda: len(place.outcomes()) >= 1)
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate()
    assert child.returncode == 130
    assert time.monotonic() - began < 20
    assert b"interrupted" in stderr
    assert not [one for one in place.outcomes() if one["family"] == "bert"], "an interrupted step is no outcome"
    completed = place.verify("gpt2", "bert", "--timeout", "2")
    assert completed.status == 0, completed.stderr
    assert [one["outcome"] for one in place.outcomes()] == ["ok", "timeout"]


def test_what_was_found_goes_into_the_matrix(place: Place) -> None:
    before = place.matrix.read_text(encoding="utf-8")
    document = json.loads(place.verify("gpt2", "--update", "--dry-run", "--json").stdout)
    assert document["raised"] == [{"family": "gpt2", "known_good": 0, "grade": "load"}]
    assert place.matrix.read_text(encoding="utf-8") == before
    completed = place.verify("gpt2", "--update")
    assert completed.status == 0, completed.stderr
    assert load_matrix(place.matrix).families["gpt2"].grade == "load"
    (kept,) = load_results(place.folder / "families.evidence.json").values()
    assert (kept.capability, kept.outcome, kept.tool.startswith("envpin matrix verify")) == ("load", "ok", True)
    refused = place.verify("falcon", "--update")
    assert refused.status == 1
    assert "known good, but load fails" in refused.stderr


def test_two_at_a_time_are_refused(place: Place) -> None:
    child = process.start(arguments(*place.words("bert")), env=variables(place.env))
    try:
        until(place.journal.exists)
        completed = place.verify("gpt2")
    finally:
        process.end(child)
        child.communicate()
    assert completed.status == 5
    assert "another process is verifying" in completed.stderr


def test_an_environment_that_nothing_fits_is_told_and_the_others_go_on(place: Place) -> None:
    completed = place.verify("gpt2", "--transformers", "4.43.1,4.42.4")
    assert completed.status == 0, completed.stderr
    assert "no environment: transformers 4.42.4" in completed.stderr
    assert [one["outcome"] for one in place.outcomes()] == ["ok"]
    nothing = place.verify("gpt2", "--transformers", "4.42.4")
    assert nothing.status == 3
    assert "nothing was verified" in nothing.stderr


def test_network_trouble_is_4_and_no_verdict(place: Place) -> None:
    with SimpleIndex(cut=True) as index:
        (place.folder / "uv.toml").write_text("", encoding="utf-8")
        place.env |= {"UV_DEFAULT_INDEX": index.url, "UV_HTTP_RETRIES": "0", "UV_FIND_LINKS": ""}
        completed = place.verify("gpt2")
    assert completed.status == 4, completed.stderr
    assert place.outcomes() == []
    assert not place.journal.exists() or "unbuildable" not in place.journal.read_text(encoding="utf-8")


def test_what_cannot_be_asked(place: Place) -> None:
    for words, said in (
        (("gpt3",), "gpt3: is not a family"),
        (("gpt2", "--transformers", "4.43.99"), "is not a release"),
        (("gpt2", "--transformers", "new"), "neither versions nor a range"),
        (("gpt2", "--capability", "fly"), "is not a capability"),
        (("gpt2", "--with", "torch=2"), "torch=2"),
        (("gpt2", "--executor", "ray:x"), "is not an executor"),
        (("gpt2", "-j", "0"), "no number of processes"),
        (("gpt2", "--timeout", "0"), "no time"),
        (("gpt2", "--replace"), "says how `--update` is done"),
    ):
        completed = place.verify(*words)
        assert completed.status == 2, (words, completed.stderr)
        assert said in completed.stderr


def test_on_the_workers_of_a_dask_cluster(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two worker processes with a store of their own, as on another machine: what they make comes back."""
    distributed = pytest.importorskip("distributed")
    for name, value in variables(place.env).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ENVPIN_HOME", str(place.folder / "elsewhere"))
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", local_directory=str(place.folder)
    )  # fmt: skip
    with cluster:
        words = ("--executor", f"dask:{cluster.scheduler_address}", "--transformers", "4.43.1,4.43.4")
        completed = place.verify(*PLAIN, *words)
    assert completed.status == 0, completed.stderr
    assert sorted((one["family"], one["outcome"]) for one in place.outcomes()) == sorted([(n, "ok") for n in PLAIN] * 2)
    assert len(os.listdir(place.folder / "elsewhere" / "environments")) >= 2  # noqa: PTH208
    made = place.folder / "store" / "verify" / "made"
    assert len([*made.glob("*/*/model/model.safetensors")]) == 2 * len(PLAIN)


# envpin, waiting a second for a scheduler and not twenty.
IMPATIENT = """
import sys
from envpin.cli.main import main
from envpin.sweep import remote
remote._PATIENCE = 1.0
sys.exit(main(sys.argv[1:]))
"""


def test_a_dask_cluster_that_is_not_there(place: Place) -> None:
    pytest.importorskip("distributed")
    words = place.words("gpt2", "--executor", "dask:tcp://127.0.0.1:1")
    completed = process.run([sys.executable, "-c", IMPATIENT, *words], env=variables(place.env))
    assert completed.status == 4, completed.stderr
    assert "no Dask scheduler answers" in completed.stderr
