"""What a stream of an encoding without our letters gets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from envpin.cli.console.findings import render_table
from envpin.cli.console.output import GuardedStream, visible

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_table_keeps_its_columns_and_the_letters_of_strangers_are_escaped(tmp_path: Path, encoding: str) -> None:
    text = render_table(("name", "found"), [("layer", "✓ ≥ 4.43"), ("模", "x")])
    with (tmp_path / "out").open("w", encoding=encoding) as stream:
        GuardedStream(stream).write(text)
    written = (tmp_path / "out").read_bytes().decode(encoding).replace(os.linesep, "\n")
    if encoding == "utf-8":
        assert written == text
        return
    head, rule, first, second = written.splitlines()
    assert (head, rule, first) == ("name  | found", "------+---------", "layer | + >= 4.43")
    assert second.startswith("\\u6a21")


@pytest.mark.parametrize("runner", ["GITHUB_ACTIONS", "TF_BUILD", None])
def test_a_runner_of_ci_obeys_no_line_of_a_stranger(monkeypatch: pytest.MonkeyPatch, runner: str | None) -> None:
    for name in ("GITHUB_ACTIONS", "TF_BUILD"):
        monkeypatch.delenv(name, raising=False)
    text = "a model\n::error::x\n  ::warning::y\nsee ##[group]z and ##vso[task.x]"
    if runner is None:
        assert visible(text) == text
        return
    monkeypatch.setenv(runner, "true")
    shown = visible(text)
    assert not [line for line in shown.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in shown
    assert "##vso[" not in shown
    assert shown.replace(": :", "::").replace("# #", "##") == text
