"""Two recorded folders held against each other, and the page of both curves."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from envpin.manifest.read import read_manifest
from envpin.manifest.trace import TRACE_NAME
from envpin.manifest.types import Manifest, RunInfo, TrainerInfo
from envpin.manifest.write import write_manifest
from envpin.replay.training.compare import compare_runs
from envpin.report.runs_page import render_runs
from tests.support.training_runs import ARGUMENTS, manifest

if TYPE_CHECKING:
    from pathlib import Path


def recorded(folder: Path, made: Manifest, losses: list[float], *, adapter: str = "e" * 64) -> Path:
    folder.mkdir()
    assert made.saved is not None
    saved = replace(made.saved, files={"adapter_model.safetensors": adapter})
    run = RunInfo(id="r", argv=("python", "<train>.py"))
    write_manifest(folder / "envpin.json", replace(made, saved=saved, run=run))
    lines: list[dict[str, Any]] = [{"trace": 1, "run": "r", "first": 1}]
    lines += [{"step": step, "loss": loss, "lr": 0.1, "grad_norm": 1.0} for step, loss in enumerate(losses, 1)]
    (folder / TRACE_NAME).write_text("".join(json.dumps(one) + "\n" for one in lines))
    return folder


def test_two_runs_are_judged_and_drawn(tmp_path: Path) -> None:
    one = recorded(tmp_path / "a", manifest(), [5.0, 4.5, 4.0])
    changed = manifest(arguments={**ARGUMENTS, "weight_decay": 0.1})
    other = recorded(tmp_path / "b", changed, [5.0, 4.5, 4.1], adapter="7" * 64)
    found = compare_runs(one, other / "envpin.json")
    assert found is not None
    assert (found.judgement.verdict, found.judgement.cause) == ("diverged", "optimizer")
    assert found.judgement.first is not None
    assert found.judgement.first.step == 3
    assert found.curves[1].loss == (5.0, 4.5, 4.1)
    text = render_runs(found, ("a & b", "b"), ["verdict     diverged"])
    assert text.count("<svg") == 3
    assert "&lt;train&gt;.py" in text
    assert "a &amp; b" in text
    assert "<script" not in text
    assert len(re.findall(r"<path[^>]* d=\"M[\d. LM]+\"", text)) == 6


def test_equal_runs_are_identical_and_what_is_no_run_is_not_compared(tmp_path: Path) -> None:
    one = recorded(tmp_path / "a", manifest(), [5.0, 4.5])
    again = recorded(tmp_path / "b", manifest(), [5.0, 4.5])
    found = compare_runs(one, again)
    assert found is not None
    assert found.judgement.verdict == "identical"
    bare = tmp_path / "bare"
    bare.mkdir()
    write_manifest(bare / "envpin.json", Manifest(schema=1))
    assert compare_runs(one, bare) is None
    assert compare_runs(one, tmp_path / "pylock.toml") is None


def test_runs_without_a_trainer_are_told_apart_by_code_and_command(tmp_path: Path) -> None:
    def loop(name: str, adapter: str, *words: str) -> Path:
        made = replace(manifest(), training=None, run=RunInfo(id=name, argv=("python", "train.py", *words)))
        assert made.saved is not None
        saved = replace(made.saved, files={"adapter_model.safetensors": adapter})
        (tmp_path / name).mkdir()
        write_manifest(tmp_path / name / "envpin.json", replace(made, saved=saved))
        return tmp_path / name

    one = loop("a", "1" * 64, "--lr=1", "--out", str(tmp_path / "a"))
    other = loop("b", "2" * 64, "--lr=2", "--out", str(tmp_path / "b"))
    found = compare_runs(one, other)
    assert found is not None
    assert (found.judgement.verdict, found.judgement.cause) == ("diverged", "hyperparameter")
    assert [(fact.before, fact.after) for fact in found.judgement.because] == [("--lr=1", "--lr=2")]
    same = compare_runs(one, loop("c", "1" * 64, "--lr=1", "--out", str(tmp_path / "c")))
    assert same is not None
    assert same.judgement.verdict == "identical"


@pytest.mark.parametrize(
    ("words", "differs"),
    [
        ("", ""), ("--out {out}", ""), ("--output_dir={out}", ""), ("-o {out}/final", ""), ("{out}", ""),
        ("--fp16 {out}", "--fp16"), ("--out {out} --lr 2", "--lr 2"), ("--keep {out}-of-mine", "--keep"),
    ],
)  # fmt: skip
def test_commands_that_differ_by_where_they_write_do_not_differ(tmp_path: Path, words: str, differs: str) -> None:
    one = recorded(tmp_path / "a", manifest(), [5.0, 4.5])
    other = recorded(tmp_path / "b", manifest(), [5.0, 4.1], adapter="7" * 64)
    of = read_manifest(other / "envpin.json")
    argv = ("python", "<train>.py", *words.format(out=other).split())
    write_manifest(other / "envpin.json", replace(of, run=RunInfo(id="other", argv=argv)))
    found = compare_runs(one, other)
    assert found is not None
    commands = [fact.after for fact in (*found.judgement.because, *found.judgement.also) if fact.what == "command"]
    assert [differs in after for after in commands] == [True] * bool(differs)


def test_another_class_of_trainer_is_code(tmp_path: Path) -> None:
    trainers = [TrainerInfo(class_name=name) for name in ("transformers.trainer.Trainer", "__main__.Scaled")]
    made = [replace(manifest(), trainer=trainer) for trainer in trainers]
    one = recorded(tmp_path / "a", made[0], [5.0])
    other = recorded(tmp_path / "b", made[1], [7.0], adapter="7" * 64)
    found = compare_runs(one, other)
    assert found is not None
    assert (found.judgement.cause, found.judgement.because[0].what) == ("code", "trainer")
    assert "code" not in found.judgement.ruled_out
