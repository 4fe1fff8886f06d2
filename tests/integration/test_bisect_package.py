"""`envpin bisect PACKAGE` on synthetic releases: real uv, real environments, a local index, no other network."""

from __future__ import annotations

import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.bisecting import World
from tests.support.simple_index import SimpleIndex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with SimpleIndex() as index:
        yield World(index, tmp_path)


# Without prefetching, which builds more than is needed: one test below is about it.
ENDS = ("--good", "1.0", "--bad", "1.39", "--repeatable", "--no-prefetch")


def test_the_release_that_broke_it_is_named_with_its_evidence(world: World) -> None:
    world.series("pkg", 40, 23)
    world.publish("pkg", "1.30.1rc1", uploaded="2024-02-03T00:00:00Z")
    world.publish("pkg", "1.31.1", yanked="bad idea", uploaded="2024-02-04T00:00:00Z")
    answer = world.bisect(
        "pkg", *ENDS, "--json", "--html", str(world.folder / "page.html"), *world.probe("pkg")
    ).document
    assert (answer["last_good"], answer["first_bad"], answer["certain"]) == ("1.22", "1.23", True)
    assert answer["pin"] == "pkg==1.22"
    assert answer["error"] == "RuntimeError: it fell over"
    assert answer["narrowing"] <= answer["halving"] == 6
    assert {row["version"] for row in answer["rows"]}.isdisjoint({"1.30.1rc1", "1.31.1"})
    assert [change["path"] for change in answer["changed_files"] if change.get("touches")] == ["pkg/__init__.py"]
    page = (world.folder / "page.html").read_text()
    assert "1.23 (2024-01-24) broke it" in page
    assert "http://" not in page.replace(world.index.url, "")
    setup = world.records("setup")[0]
    assert setup["axis"]["left_out"] == {"1.30.1rc1": "a pre-release", "1.31.1": "yanked: bad idea"}


def test_asked_again_it_answers_from_its_log_and_elsewhere_from_the_cache(world: World) -> None:
    world.series("pkg", 40, 9)
    command = ("pkg", *ENDS, *world.probe("pkg"))
    first = world.bisect(*command)
    ran = len(world.ran)
    again = world.bisect(*command)
    assert len(world.ran) == ran, "a finished probe was run again"
    assert again.stdout == first.stdout
    world.bisect("pkg", "--good", "1.0", "--bad", "1.38", "--repeatable", *world.probe("pkg"))
    assert any(record["source"] == "cache" for record in world.records())


@pytest.mark.parametrize("moment", [1, 5])
def test_killed_at_any_point_it_goes_on_and_repeats_nothing_finished(world: World, moment: int) -> None:
    world.series("pkg", 40, 31)
    command = ("pkg", *ENDS, "--json", *world.probe("pkg", pause=0.15))
    assert world.kill_after(world.start(*command), moment) == -signal.SIGKILL
    finished = Counter(record["version"] for record in world.records())
    with world.logs()[0].open("a") as stream:
        stream.write('{"event": "probe", "version": "1.5", "verd')  # what a kill in the middle of a write leaves
    answer = world.bisect(*command).document
    assert (answer["last_good"], answer["first_bad"]) == ("1.30", "1.31")
    logged = Counter(record["version"] for record in world.records())
    assert logged >= finished
    # The one probe that was running when the kill came had not finished, and may have run twice.
    assert sum((Counter(world.ran) - logged).values()) <= 1
    assert sum(logged.values()) == answer["probes"]
    assert answer["narrowing"] <= answer["halving"]


def test_ctrl_c_leaves_a_state_that_goes_on(world: World) -> None:
    world.series("pkg", 40, 5)
    command = ("pkg", *ENDS, *world.probe("pkg", pause=0.3))
    assert world.kill_after(world.start(*command), 3, signal.SIGINT) == 130
    assert "unfinished" in world.bisect("status").stdout or "stopped" in world.bisect("status").stdout
    before = len(world.records())
    assert before >= 3
    assert "1.5 (2024-01-06) broke it" in world.bisect(*command).stdout


@pytest.mark.parametrize("how", ["hangs up", "is gone"])
def test_with_the_network_cut_it_stops_with_4_and_goes_on_later(world: World, how: str) -> None:
    world.series("pkg", 40, 17)
    command = ("pkg", *ENDS, "--no-prior", *world.probe("pkg", pause=0.3))
    child = world.start(*command)
    while len(world.records()) < 3 and child.poll() is None:
        time.sleep(0.01)
    if how == "is gone":
        world.index.stop()
    else:
        world.index.cut = True
    _, stderr = child.communicate(timeout=120)
    assert child.returncode == 4, stderr
    assert "error:" in stderr
    assert "hint:" in stderr
    finished = len(world.records())
    assert all(record["verdict"] in {"good", "bad"} for record in world.records()), "trouble counted as a verdict"
    assert world.records("stopped")
    if how == "is gone":
        world.index.resume()
    world.index.cut = False
    done = Counter(record["version"] for record in world.records())
    assert "1.17 (2024-01-18) broke it" in world.bisect(*command).stdout
    assert len(world.records()) > finished
    assert Counter(world.ran) - done == Counter(world.ran[finished:]), "a finished probe was run again"


def test_what_hides_behind_untestable_releases_is_a_range(world: World) -> None:
    for minor in range(30):
        requires = ["gone>=9"] if 10 <= minor < 14 else []
        broken = "it fell over" if minor >= 12 else None
        python = ">=3.99" if minor == 14 else None
        world.publish("pkg", f"1.{minor}", broken=broken, requires=requires, requires_python=python,
                      uploaded=f"2024-01-{1 + minor:02}T00:00:00Z")  # fmt: skip
    answer = world.bisect(
        "pkg", "--good", "1.0", "--bad", "1.29", "--repeatable", "--no-prefetch", "--json", *world.probe("pkg")
    ).document
    assert answer["answer"] == "range"
    assert (answer["last_good"], answer["first_bad"]) == ("1.9", "1.15")
    assert [line.split(":")[0] for line in answer["untestable"]] == ["1.10", "1.11", "1.12", "1.13", "1.14"]
    assert "unresolvable" in answer["untestable"][0]
    assert "needs Python" in answer["untestable"][-1]


def test_only_what_must_move_moves_and_each_move_is_shown(world: World) -> None:
    for minor in range(12):
        world.publish("tok", f"1.{minor}", uploaded=f"2024-01-{1 + minor:02}T00:00:00Z")
        world.publish("side", f"1.{minor}", uploaded=f"2024-01-{1 + minor:02}T00:00:00Z")
        window = "tok>=1.2,<1.5" if minor < 8 else "tok>=1.6"
        world.publish("pkg", f"1.{minor}", broken="no" if minor >= 8 else None, requires=[window, "side"],
                      uploaded=f"2024-01-{1 + minor:02}T12:00:00Z")  # fmt: skip
    answer = world.bisect(
        "pkg", "--good", "1.4", "--bad", "1.11", "--repeatable", "--no-prefetch", "--json", *world.probe("pkg")
    ).document
    assert (answer["last_good"], answer["first_bad"]) == ("1.7", "1.8")
    moves = {row["version"]: row.get("moves", []) for row in answer["rows"]}
    assert moves["1.7"] == []
    (only,) = moves["1.8"]
    assert only.startswith("tok 1.4 → 1.")
    assert answer["moved"] == [only]


def test_fixed_expect_and_parallel_probes(world: World) -> None:
    for minor in range(24):
        broken = "wrong colour" if minor < 6 else "the real thing" if minor < 15 else None
        world.publish("pkg", f"1.{minor}", broken=broken, uploaded=f"2024-01-{1 + minor:02}T00:00:00Z")
    ends = ("--bad", "1.7", "--good", "1.23", "--find", "fixed", "-j", "2", "--repeatable")
    answer = world.bisect("pkg", *ends, "--json", "--expect", "real thing", *world.probe("pkg")).document
    assert (answer["before"], answer["after"]) == ("1.14", "1.15")
    # With an older end the wrong failure lies in the range: those releases say nothing about the real one.
    wrong = ("--good", "1.3", "--bad", "1.7", "--expect", "real thing", "--json")
    other = world.bisect("pkg", *wrong, *world.probe("pkg"), status=1).document
    assert other["answer"] in {"end-untestable", "end-wrong"}


def test_both_next_candidates_are_built_while_a_probe_runs(world: World) -> None:
    world.series("pkg", 12, 7)
    script = world.folder / "waits.py"
    script.write_text(
        "import os, pathlib, time\n"
        "while os.environ['ENVPIN_BISECT_VERSION'] == '1.11' and not pathlib.Path('go').exists():\n"
        "    time.sleep(0.02)\n"
        "import pkg\n"
    )
    command = ("pkg", "--good", "1.0", "--bad", "1.11", "--repeatable", "--json", "--", "python", str(script))
    child = world.start(*command)
    deadline = time.monotonic() + 120
    environments = world.folder / "home" / "environments"
    # Both ends, and what comes next whether the bad end fails, as it should, or not.
    while len(list(environments.glob("[0-9a-f]*/envpin-receipt.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [record["version"] for record in world.records()] == ["1.0"], "the bad end has answered already"
    assert len(list(environments.glob("[0-9a-f]*/envpin-receipt.json"))) >= 3
    (world.folder / "go").touch()
    stdout, stderr = child.communicate(timeout=120)
    assert child.returncode == 0, stderr
    assert '"first_bad": "1.7"' in stdout


def test_a_noisy_command_is_never_called_certain(world: World) -> None:
    code = "import random\nif random.random() < {rate}: raise RuntimeError('now and then')\n"
    for minor in range(8):
        rate = 0.75 if minor >= 4 else 0.0
        world.publish("pkg", f"1.{minor}", code=code.format(rate=rate), uploaded=f"2024-01-{1 + minor:02}T00:00:00Z")
    answer = world.bisect(
        "pkg", "--good", "1.0", "--bad", "1.7", "--json", "--no-prefetch", *world.probe("pkg")
    ).document
    assert not answer["certain"] or answer["first_bad"] == "1.4"
    if answer["noisy"]:
        assert any("probability" in line for line in answer["warnings"])


def test_skip_status_log_and_replay(world: World) -> None:
    world.series("pkg", 40, 23)
    command = ("pkg", *ENDS, "--json", *world.probe("pkg", pause=0.2))
    world.kill_after(world.start(*command), 2)
    (searching,) = world.bisect("status", "--json").document["searches"]
    assert "next: 1." in searching["state"]
    world.bisect("skip", "1.22")
    assert world.bisect(*command).document["last_good"] == "1.21"
    world.bisect("skip", "1.23")  # it has been probed: what it said does not count any more
    answer = world.bisect(*command).document
    assert answer["answer"] == "range"
    assert (answer["last_good"], answer["first_bad"]) == ("1.21", "1.24")
    assert world.bisect("status", "--json").document["searches"][0]["state"].startswith("finished")
    log = world.bisect("log").stdout
    assert log.startswith('{"event": "question"')
    unknown = world.bisect("skip", "1.99", status=2)
    assert "`1.99` is not among the releases" in unknown.stderr
    other = world.folder / "taken.jsonl"
    other.write_text("".join(line + "\n" for line in log.splitlines()[:6]))
    world.logs()[0].unlink()
    probe = world.probe("pkg", pause=0.2)
    refused = world.bisect("replay", str(other), status=5)
    assert f"replay {other} {' '.join(probe)}" in refused.stderr
    world.bisect("replay", str(other), "--", "python", "-c", "pass", status=5)
    assert not world.logs()
    replayed = world.bisect("replay", str(other), "--json", *probe)
    assert replayed.document["last_good"]
    assert "may not hold" not in replayed.stderr
    assert len(world.logs()) == 1
    hostile = log.splitlines()[0].replace('"package": "pkg"', '"package": "../../pkg"')
    other.write_text(hostile + "\n")
    assert "not the name of a package" in world.bisect("replay", str(other), *probe, status=2).stderr
    world.probe("pkg", pause=0.1)  # another script under the same name
    other.write_text(log)
    assert "may not hold" in world.bisect("replay", str(other), *probe).stderr


def test_an_end_that_is_not_what_it_was_said_to_be(world: World) -> None:
    world.series("pkg", 8, 0)
    command = ("pkg", "--good", "1.0", "--bad", "1.7", "--repeatable", "--no-prefetch")
    answer = world.bisect(*command, *world.probe("pkg"), status=1)
    assert "1.0 to be good, but the probe failed" in answer.stdout
    assert "RuntimeError: it fell over" in answer.stdout
    assert "pin:" not in answer.stdout
    assert not list((world.folder / "home").glob("bisect/searches/*/issue.md"))
    declined = ("--", "python", "-c", "import sys; sys.exit(125)")
    other = world.bisect(*command, *declined, status=1)
    assert "1.0 cannot be tested" in other.stdout
    assert "1.0: declined" in other.stdout


def test_a_program_that_only_some_releases_bring_is_a_verdict_about_the_others(world: World) -> None:
    for minor in range(8):
        world.publish("pkg", f"1.{minor}", scripts={"pkg-tool": "pkg:main"} if minor < 5 else {},
                      code="def main():\n    return 0\n", uploaded=f"2024-01-{1 + minor:02}T00:00:00Z")  # fmt: skip
    ends = ("--good", "1.0", "--bad", "1.7", "--repeatable", "--no-prefetch", "--json")
    answer = world.bisect("pkg", *ends, "--", "pkg-tool").document
    assert answer["first_bad"] == "1.5"
    assert "`pkg-tool` was not found" in answer["error"]


def test_a_release_that_gets_too_slow_to_run_again_ends_the_search_without_certainty(world: World) -> None:
    world.series("pkg", 8, 4)
    script = world.folder / "slow.py"
    script.write_text(
        "import os, pathlib, time\n"
        "mark = pathlib.Path('seen-' + os.environ['ENVPIN_BISECT_VERSION'])\n"
        "time.sleep(30 if mark.exists() else 0)\n"
        "mark.touch()\n"
        "import pkg\n"
    )
    ends = ("--good", "1.0", "--bad", "1.7", "--repeatable", "--no-prefetch", "--json", "--timeout", "1.5")
    answer = world.bisect("pkg", *ends, "--", "python", str(script)).document
    assert (answer["first_bad"], answer["certain"]) == ("1.4", False)
    assert "timed-out" in {row["status"] for row in answer["rows"]}


def test_two_processes_do_not_run_one_search(world: World) -> None:
    world.series("pkg", 12, 7)
    command = ("pkg", "--good", "1.0", "--bad", "1.11", "--repeatable", "--no-prefetch", *world.probe("pkg", pause=0.6))
    first = world.start(*command)
    while not world.records() and first.poll() is None:
        time.sleep(0.01)
    assert "another process is running this search" in world.bisect(*command, status=5).stderr
    assert "running" in world.bisect("status").stdout
    first.communicate(timeout=120)
    assert first.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("pkg", "--good", "1.0"), 2, "both ends are needed"),
        (("pkg", "--good", "1.0", "--bad", "1.0"), 2, "nothing between"),
        (("pkg", "--good", "one", "--bad", "1.0"), 2, "`one` is not a version"),
        (("pkg", "--good", "1.0", "--bad", "9.9"), 2, "no release 9.9"),
        (("nosuch", "--good", "1.0", "--bad", "1.3"), 2, "nosuch"),
        (("pkg", "--good", "1.0", "--bad", "1.3", "--expect", "("), 2, "not a regular expression"),
        (("pkg", "--good", "1.0", "--bad", "1.3", "--find", "fixed"), 2, "older one"),
        (("pkg", "--good", "1.0", "--bad", "1.3", "--family", "x"), 2, "exclude each other"),
        (("pkg", "--good", "1.0", "--bad", "1.3", "-j", "0"), 2, "1 or more"),
        (("pkg", "--good", "1.0", "--bad", "1.3", "--timeout", "-3"), 2, "above 0"),
        (("pkg", "--good", "1.0", "--bad", "1.3", "--timeout", "nan"), 2, "above 0"),
        (("pkg", "--good", "1.0", "--bad", "1.3", "--python", "banana"), 2, "not a version of Python"),
        (("pkg", "--good", "1.0", "--bad", "1.3", "--with", "pkg==1.1"), 2, "its releases are what is searched"),
        (("pkg", "--good", "1.0", "--bad", "1.3", "--with", "https://x/y.whl"), 2, "not requirements"),
        (("pkg", "--good", "1.0", "--bad", "1.3", "--html", "no/such/folder/page.html"), 2, "cannot be written"),
        (("pkg", "--good", "1.0", "--bad", "1.3", "--html", __file__), 5, "is no page of `envpin bisect`"),
        (("status", "nosuch"), 2, "no search"),
        (("replay", "nosuch.jsonl"), 2, "cannot be read"),
        (("skip", "1.0"), 2, "no search"),
    ],
)
def test_bad_input_is_one_clear_error(world: World, arguments: tuple[str, ...], status: int, words: str) -> None:
    world.series("pkg", 4, 2)
    probe = world.probe("pkg") if arguments[0] in {"pkg", "nosuch"} else []
    answer = world.bisect(*arguments, *probe, status=status)
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not answer.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--family", "qwen2x"), "qwen2"),
        (("--adapter", "empty"), "needs its base"),
        (("--adapter", "empty", "--base", "empty"), "has no adapter_config.json"),
        (("--base", "empty"), "has no config.json"),
        (("--base", "nosuch"), "not a folder"),
        (("--base", "empty", "--probe", "merge"), "needs an adapter"),
        ((), "nothing to try"),
    ],
)
def test_nothing_is_installed_for_a_probe_that_cannot_be(world: World, arguments: tuple[str, ...], words: str) -> None:
    world.series("pkg", 4, 2)
    (world.folder / "empty").mkdir()
    answer = world.bisect("pkg", "--good", "1.0", "--bad", "1.3", *arguments, status=2)
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (world.folder / "home").exists()


def test_a_damaged_log_is_named_and_not_lost(world: World) -> None:
    world.series("pkg", 10, 4)
    command = ("pkg", "--good", "1.0", "--bad", "1.9", "--repeatable", *world.probe("pkg"))
    world.bisect(*command)
    log = world.logs()[0]
    lines = log.read_text().splitlines()
    damaged = "\n".join([*lines[:3], lines[3][:20], *lines[4:]]) + "\n"
    log.write_text(damaged)
    answer = world.bisect(*command, status=2)
    assert f"line 4 of `{log}` is damaged" in answer.stderr
    assert log.read_text() == damaged


def test_no_secret_of_the_command_or_of_what_it_printed_is_written_down(world: World, tmp_path: Path) -> None:
    for minor in range(6):
        token = "hf_" + "a1B2c3D4e5" * 3
        broken = f"cannot log in: Authorization: Bearer {token}" if minor > 2 else None
        world.publish("pkg", f"1.{minor}", broken=broken, uploaded=f"2024-01-0{minor + 1}T00:00:00Z")
    probe = [*world.probe("pkg"), "--api-key", "s3cr3tK3yOfMine"]
    ends = ("--good", "1.0", "--bad", "1.5", "--repeatable")
    page = tmp_path / "page.html"
    said = world.bisect("pkg", *ends, "--json", "--html", str(page), *probe)
    assert said.document["first_bad"] == "1.3"
    written = [
        path for path in (world.folder / "home").rglob("*") if path.is_file() and "environments" not in path.parts
    ]
    for text in (page.read_text(), said.stdout, *(path.read_text(errors="replace") for path in written)):
        assert "s3cr3tK3yOfMine" not in text
        assert "a1B2c3D4e5" not in text
    # Elsewhere the log serves whoever knows the command with its secret.
    other = tmp_path / "log.jsonl"
    other.write_bytes(world.logs()[0].read_bytes())
    world.variables["ENVPIN_HOME"] = str(tmp_path / "elsewhere")
    count = len(world.ran)
    assert world.bisect("replay", str(other), "--json", *probe).document["first_bad"] == "1.3"
    assert len(world.ran) == count
