"""`envpin report` from the command line: what it takes, where it writes, what it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import answer, envpin
from tests.support.merge_records import write_merged

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_merged(tmp_path_factory.mktemp("report") / "merged model")


def test_report_writes_a_page_here_and_replaces_its_own(merged: Path, tmp_path: Path) -> None:
    for _ in range(2):
        completed = envpin("report", merged, cwd=tmp_path)
        assert (completed.status, completed.stdout) == (0, "merged model-report.html\n"), completed.stderr
    text = (tmp_path / "merged model-report.html").read_text(encoding="utf-8")
    assert "intact: 3 files are" in text
    assert envpin("report", merged, "--html", "-", cwd=tmp_path).stdout == text
    assert answer("report", merged, cwd=tmp_path)["kind"] == "merge"


def test_report_of_the_record_alone_names_the_same_folder(merged: Path, tmp_path: Path) -> None:
    completed = envpin("report", merged / "envpin-merge.json", "--html", tmp_path / "r.html")
    assert completed.status == 0, completed.stderr
    assert "intact" in (tmp_path / "r.html").read_text()


def test_report_of_a_changed_merge_says_so(merged: Path, tmp_path: Path) -> None:
    other = write_merged(tmp_path / "m")
    with (other / "model.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x01")
    completed = envpin("report", other, "--html", tmp_path / "r.html")
    assert completed.status == 0
    assert "changed: what is here is not what the merge proved" in (tmp_path / "r.html").read_text()
    envpin("report", other, "--html", tmp_path / "q.html", "--no-verify")
    assert "not compared: whether the files still are" in (tmp_path / "q.html").read_text()


def test_report_of_a_comparison(merged: Path, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(envpin("diff", merged, write_merged(tmp_path / "m"), "--json").stdout)
    completed = envpin("report", "d.json", cwd=tmp_path)
    assert completed.stdout == "d-report.html\n", completed.stderr
    assert "No differences" in (tmp_path / "d-report.html").read_text()


@pytest.mark.parametrize(
    ("path", "words", "status", "said"),
    [
        ("gone", [], 2, "does not exist"),
        (".", [], 2, "holds neither envpin-merge.json nor envpin.json"),
        ("text", [], 2, "is no JSON document of envpin"),
        ("empty.json", [], 2, "schema"),
        ("d.json", ["--html", "text"], 5, "is no page of `envpin report`"),
        ("d.json", ["--html", "-", "--open"], 2, "`--html -` goes without --open"),
    ],
)
def test_report_refuses(tmp_path: Path, path: str, words: list[str], status: int, said: str) -> None:
    (tmp_path / "text").write_text("mine")
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "d.json").write_text('{"schema": 1, "changes": []}')
    completed = envpin("report", path, *words, cwd=tmp_path)
    assert completed.status == status
    assert said in completed.stderr
    assert (tmp_path / "text").read_text() == "mine"
