"""What is printed in a narrow terminal: no word, tensor name or command is cut where it cannot be read or copied."""

from __future__ import annotations

import shlex
import sys

import pytest

from envpin.cli.console.findings import render_findings, render_table, wrapped
from envpin.core.findings import Evidence, Finding

NAME = "base_model.model.model.language_model.layers.10.self_attn.q_proj.lora_A.default.weight"
COMMAND = "envpin replay merge runs/2026-11-27/checkpoint-1200 -o MERGED --base /models/org/llama-3.1-8b"
FINDING = Finding(
    code="rank-mismatch", severity="blocker", message="config and weights come from two runs, as far as can be seen",
    evidence=(Evidence(file="adapter_model.safetensors", tensor=NAME, found="[16, 64]", expected="[8, 64]"),),
    fix=(COMMAND, f"take what belongs together: {COMMAND}", "run `envpin check ADAPTER --json` and read its table"),
)  # fmt: skip


@pytest.fixture(params=[50, 60, 80])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    return int(request.param)


def test_lines_fit_and_names_break_behind_dots(columns: int) -> None:
    text = render_findings([FINDING])
    assert max(map(len, text.split("\n"))) <= columns
    assert NAME in "".join(line.strip() for line in text.split("\n"))
    whole = set(NAME.split("."))
    parts = [part for line in text.split("\n") for part in line.strip().strip(":").split(".") if "lora" in part]
    assert parts
    assert set(parts) <= whole


def test_a_broken_command_is_still_one_for_the_shell(columns: int) -> None:
    lines = render_findings([FINDING]).split("\n")
    starts = [at for at, line in enumerate(lines) if line.lstrip().startswith("envpin ")]
    assert len(starts) == 2
    for at in starts:
        end = next(number for number in range(at, len(lines)) if not lines[number].endswith("\\"))
        pasted = "\n".join(lines[at : end + 1]).replace("\\\n", "")  # as a shell reads it
        assert shlex.split(pasted) == COMMAND.split()


def test_a_sentence_in_a_table_that_is_too_wide_stands_below_its_name(columns: int) -> None:
    text = render_table(
        ("parameter", "expected", "why"), [(NAME, "[8, 64]", "the rank of the config"), ("x", "[1]", "")]
    )
    assert max(map(len, text.split("\n"))) <= columns
    assert "    expected: [8, 64]\n    why: the rank of the config\nx\n    expected: [1]" in text
    assert NAME in text.replace("\n        ", "").replace("\n", "")
    assert "│" in render_table(("a", "b"), [("x", "y")])
    assert wrapped("short\nlines") == "short\nlines"


def test_into_a_file_commands_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    text = render_findings([FINDING])
    assert f"    fix: {COMMAND}\n" in text
    assert f"take what belongs together: {COMMAND}\n" in text


def test_or_is_said_once_before_a_second_step() -> None:
    one = Finding(code="x", severity="blocker", message="m", evidence=(), fix=("do this", "or do that", "order it"))
    assert [line.strip() for line in render_findings([one]).split("\n")[1:]] == [
        "fix: do this", "or:  do that", "or:  order it",
    ]  # fmt: skip
