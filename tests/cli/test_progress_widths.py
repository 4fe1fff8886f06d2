"""Every progress display on a real terminal of 60, 80 and 120 columns: one line, its numbers whole, nothing torn."""

from __future__ import annotations

import os
import re
import sys

import pytest

pytest.importorskip("pty", reason="there is no pseudo-terminal on Windows")

from tests.support.terminal import Terminal

PINS = "transformers==4.43.1,peft==0.12.0,torch==2.13.0,accelerate,safetensors"
EVERYWHERE = "linux-x86_64, linux-aarch64, macos-arm64, windows-x86_64"
MODEL = "download mistralai/Mistral-7B-v0.3"
SHARD = "model-00001-of-00003.safetensors"
# What each command says while it works: title, done, total, unit, label, and how the step ends; and what has to be read
# off the running line at every width.
DISPLAYS: dict[str, tuple[tuple[str, int, int | None, str, str, str], str]] = {
    "download": (
        (f"environment {PINS}", 2 * 10**8, 27 * 10**8, "B", "nvidia torch", "28 packages"),
        "0.2/2.7 GB",
    ),
    "hub": ((MODEL, 10**9, 145 * 10**8, "B", SHARD, "3 files"), "1.0/14.5 GB"),
    "digest": (("digest the inputs", 0, None, "", "", "base 14.5 GB, adapter 0.1 GB"), "digest the inputs"),
    "merge": (("merge tensor by tensor", 12 * 10**8, 22 * 10**8, "B", "57 of 201 tensors", "2.2 GB"), "1.2/2.2 GB"),
    "probe": (("compare the outputs", 3, 32, "layers", "", "a ratio of 0.0004, far below the gate"), "3 of 32 layers"),
    "bisect": (("read the wheels of transformers", 12, 431, "wheels", "reading", "431"), "12 of 431 wheels"),
    "bundle": (("write a-long-name-of-an-adapter.tar", 10**8, 484 * 10**6, "B", "", "242 MB"), "100.0/484.0 MB"),
    "walk": (
        ("look for checkpoints below /a/folder", 12000, None, "folders", "", "3,010 in 12,111"),
        "12000 folders",
    ),
    "scan": (("examine them", 129, 10000, "folders", "", "10,000"), "129 of 10000 folders"),
    "lock": (("prove platforms and Pythons", 0, None, "", "", f"{EVERYWHERE} 3.10 to 3.14"), "prove platforms"),
    "demo": (("environment llama3.1", 10**8, 3 * 10**9, "B", "torch", "40 packages in 31.0 s"), "0.1/3.0 GB"),
    "train": (("check base and data", 5 * 10**8, 9 * 10**8, "B", "train.jsonl", "3 files"), "500.0/900.0 MB"),
    "verify": (("verify the merged model", 10**9, 145 * 10**8, "B", "", "9 files, 14.5 GB"), "1.0/14.5 GB"),
}
SCRIPT = """
import ast, sys, time
from envpin.cli.console.live import LiveDisplay
from envpin.core.events import Note, Progress, Step
title, done, total, unit, label, detail = ast.literal_eval(sys.argv[1])
display = LiveDisplay()
def drawn():  # in time, whatever else the machine does
    time.sleep(0.02)
    display._bars.refresh()
display.on_event(Step("key", title))
drawn()
if unit:
    display.on_event(Progress("key", 0, total, unit, label))
    drawn()
    display.on_event(Progress("key", done, total, unit, label))
    drawn()
display.on_event(Step("key", title, "done", detail))
display.on_event(Note("a note that is long enough to need a second line where the terminal has sixty columns"))
display.close()
print("end of the display")
"""
_STYLE = re.compile(r"\x1b\[[0-9;?]*[mhlK]")


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", DISPLAYS)
def test_a_progress_line_fits_and_shows_its_numbers(name: str, columns: int) -> None:
    said, numbers = DISPLAYS[name]
    env = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "NO_COLOR", "LINES"}}
    with Terminal(
        [sys.executable, "-c", SCRIPT, repr(said)], env={**env, "TERM": "xterm-256color"}, columns=columns
    ) as terminal:
        screen = terminal.expect("end of the display")
    assert "\x1b[1A" not in screen, "a frame of two lines moves what is above it"
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", _STYLE.sub("", screen)) if line.strip()]
    assert not [line for line in lines if len(line) > columns and " " in line.strip()], "only one word may be too long"
    assert any(numbers in line for line in lines if line[0] in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"), lines
    lines = [line for line in lines if line[0] not in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"]
    words = " ".join(" ".join(lines).split())
    assert words.startswith(" ".join(f"✓ {said[0]} {said[5]} a note that is long enough".split())), "torn or lost"
