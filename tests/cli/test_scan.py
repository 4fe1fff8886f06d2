"""`envpin scan` on a terminal and at its edges: what is drawn, what Ctrl-C leaves, what bad words are answered."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.command import arguments, envpin, variables
from tests.support.terminal import Terminal

MANY = 3000
SHOWN = {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
_LEAVE = 30.0  # seconds that the processes of a pool have to end in


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One base and `MANY` adapters: hard links to the files of one, so that they are made quickly."""
    root = tmp_path_factory.mktemp("runs")
    write_model(root / "base", llama_shapes())
    first = write_adapter(root / "00000", lora_shapes(llama_shapes()), base="base")
    for at in range(1, MANY):
        folder = root / f"{at:05}"
        folder.mkdir()
        for path in first.iterdir():
            (folder / path.name).hardlink_to(path)
    return root


def processes(pid: int) -> list[int]:
    """The living descendants of a process, from /proc."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:  # it has ended
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(folder.name)] = int(parent)
    found, near = [], [pid]
    while near:
        near = [child for child, parent in parents.items() if parent in near]
        found += near
    return found


BEFORE = '<meta name="generator" content="envpin scan">the page of the scan before'


def test_a_page_replaces_pages_of_a_scan_and_nothing_else(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "base", llama_shapes())
    (notes := tmp_path / "notes.md").write_text("mine")
    completed = envpin("scan", tmp_path / "models", "--html", notes)
    assert (completed.status, notes.read_text()) == (5, "mine")
    assert "`envpin scan`" in completed.stderr
    for _ in range(2):
        assert envpin("scan", tmp_path / "models", "--html", tmp_path / "scan.html").status == 0


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="counts the processes of the pool in /proc")
def test_ctrl_c_ends_every_process_and_leaves_the_page_alone(runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "scan.html"
    page.write_text(BEFORE, encoding="utf-8")
    with Terminal(arguments("scan", runs, "--jobs", "2", "--html", page), env=variables(SHOWN)) as terminal:
        terminal.expect(f" of {MANY + 1} folders", within=60)
        started = processes(terminal.pid)
        assert len(started) >= 2, "the pool runs"
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert "interrupted" in terminal.screen
        assert "Traceback" not in terminal.screen
    deadline = time.monotonic() + _LEAVE
    while alive := [pid for pid in started if is_alive(pid)]:
        assert time.monotonic() < deadline, f"{alive} go on without their scan"
        time.sleep(0.05)
    assert page.read_text(encoding="utf-8") == BEFORE
    assert [path.name for path in tmp_path.iterdir()] == ["scan.html"]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_terminal_draws_how_far_it_is(runs: Path) -> None:
    with Terminal(arguments("scan", runs), env=variables(SHOWN)) as terminal:
        terminal.expect(f" of {MANY + 1} folders", within=60)
        assert terminal.wait(within=60) == 0
    assert f"{MANY + 1:,} found ({MANY:,} adapters)" in terminal.screen
    assert f"{MANY:,} × adapter" in terminal.screen  # they say the same


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{root}/nowhere",), "cannot be scanned: No such file"),
        (("{root}/file",), "is a file, not a folder"),
        (("{root}", "--html", "{root}"), "is a folder"),
        (("{root}", "--html", "{root}/no/such/page.html"), "cannot be written"),
        (("{root}", "--jobs", "0"), "at least 1"),
        (("{root}", "--jobs", "many"), "invalid int value"),
        ((), "DIR"),
    ],
)
def test_bad_words_get_one_clear_error(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    completed = envpin("scan", *(word.format(root=tmp_path) for word in words))
    assert completed.status == 2, completed.stderr
    assert said in completed.stderr
    assert "Traceback" not in completed.stderr
    assert completed.stdout == ""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="nobody may write into /proc, not even root")
def test_a_folder_where_the_page_may_not_be_written(tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama_shapes())
    completed = envpin("scan", tmp_path, "--html", "/proc/scan.html")
    assert completed.status == 2, completed.stderr
    assert "`/proc/scan.html` cannot be written" in completed.stderr
    assert "Traceback" not in completed.stderr


def test_a_terminated_scan_says_nothing_more(runs: Path) -> None:
    with Terminal(arguments("scan", runs, "--jobs", "2"), env=variables(SHOWN)) as terminal:
        terminal.expect(f" of {MANY + 1} folders", within=60)
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.wait() == 143
    assert "Traceback" not in terminal.screen
