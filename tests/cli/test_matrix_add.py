"""`envpin matrix add` and the overlay, as a user runs them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from envpin.matrix.load import load_matrix
from tests.support.command import answer, envpin

if TYPE_CHECKING:
    from pathlib import Path


def evidence(path: Path, *runs: tuple[str, str, str], **more: Any) -> Path:
    """A file with runs of gpt2, whose known-good versions are tried or other ones."""
    pins = load_matrix().families["gpt2"].pins
    own = pins["transformers"]
    entries = [
        {"family": "gpt2", "capability": capability, "packages": {**pins, "transformers": version or own},
         "python": load_matrix().families["gpt2"].python, "outcome": outcome, "date": "2026-11-24",
         "platform": "linux-x86_64", "tool": "a test"}
        for capability, outcome, version in runs
    ]  # fmt: skip
    path.write_text(json.dumps({"schema": 1, "kind": "matrix-evidence", "entries": entries, **more}))
    return path


@pytest.fixture
def overlay(tmp_path: Path) -> dict[str, str]:
    return {"ENVPIN_MATRIX": str(tmp_path / "own" / "matrix.toml")}


def test_evidence_goes_into_the_overlay_and_is_shown_from_there(tmp_path: Path, overlay: dict[str, str]) -> None:
    source = evidence(tmp_path / "runs.json", ("load", "ok", ""), ("merge", "ok", ""), ("load", "ok", "4.57.1"))
    own = tmp_path / "own"
    own.mkdir()
    (own / "matrix.toml").write_text("# ours\nschema = 1\n")
    before = answer("matrix", "show", "gpt2", env=overlay)
    assert before["overlay"] is None
    dry = envpin("matrix", "add", "--from", source, "--dry-run", env=overlay)
    assert dry.status == 0, dry.stderr
    assert "+[families.gpt2]" in dry.stdout
    assert (own / "matrix.toml").read_text() == "# ours\nschema = 1\n"
    document = answer("matrix", "add", "--from", source, env=overlay)
    assert document["raised"] == [{"family": "gpt2", "known_good": 0, "grade": "merge-verified"}]
    assert sorted(one.name for one in own.iterdir()) == ["matrix.evidence.json", "matrix.toml"]
    assert (own / "matrix.toml").read_text().startswith("# ours\n")
    shown = answer("matrix", "show", "gpt2", env=overlay)
    assert (shown["overlay"], shown["known_good"][0]["grade"]) == (str(own / "matrix.toml"), "merge-verified")
    assert "overlay   " in envpin("matrix", "show", "gpt2", env=overlay).stdout
    again = answer("matrix", "add", "--from", source, env=overlay)
    assert (again["entries"], again["diff"]) == ([], "")
    assert envpin("matrix", "lint", env=overlay).stdout.endswith("nothing wrong\n")


def test_a_contradiction_is_refused_by_name_and_nothing_is_written(tmp_path: Path, overlay: dict[str, str]) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "matrix.toml").write_text("schema = 1\n")
    source = evidence(tmp_path / "runs.json", ("load", "fail", ""), ("load", "ok", "4.57.1"))
    completed = envpin("matrix", "add", "--from", source, env=overlay)
    assert completed.status == 1
    assert "families.gpt2.known_good[0]: transformers" in completed.stderr
    assert [one.name for one in (tmp_path / "own").iterdir()] == ["matrix.toml"]
    left = envpin("matrix", "add", "--from", source, "--keep-going", env=overlay)
    assert left.status == 1
    assert "refused  families.gpt2" in left.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "is not JSON"), ("{}", "is not evidence"), ('{"schema": 1, "kind": "matrix-evidence", "entries": [{}]}',
                                                     "entries[0].family: is missing")],
)  # fmt: skip
def test_a_file_that_is_no_evidence(tmp_path: Path, overlay: dict[str, str], content: str, said: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "matrix.toml").write_text("schema = 1\n")
    source = tmp_path / "runs.json"
    source.write_text(content)
    completed = envpin("matrix", "add", "--from", source, env=overlay)
    assert (completed.status, said in completed.stderr) == (2, True), completed.stderr


def test_a_matrix_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('schema = 1\n[families.gpt2]\ntitle = "G"\nunpinnable = "an example"\n')
    source = evidence(tmp_path / "runs.json", ("load", "ok", "4.40.0"), ("load", "ok", "4.57.1"))
    document = answer("matrix", "add", "--from", source, "--matrix", tmp_path / "m.toml")
    (statement,) = document["statements"]["gpt2"]
    assert statement["versions"] == ">=4.40.0,<=4.57.1"
    assert (tmp_path / "m.evidence.json").exists()
    shown = envpin("matrix", "show", "gpt2", "--matrix", tmp_path / "m.toml").stdout
    assert "works     load with transformers >=4.40.0,<=4.57.1 (seen at 2 of " in shown
