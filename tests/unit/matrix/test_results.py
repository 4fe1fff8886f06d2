"""Evidence as a file: its names, its faults, what a set of runs proves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from envpin.core.errors import InputError
from envpin.core.files import write_atomically
from envpin.core.resources import data_path
from envpin.matrix.results import (
    Capability,
    EvidenceRun,
    Outcome,
    encode_results,
    evidence_path,
    load_results,
    parse_document,
    reached,
    read_document,
)

if TYPE_CHECKING:
    from pathlib import Path


def entry(capability: Capability = "load", outcome: Outcome = "ok", **fields: Any) -> EvidenceRun:
    return EvidenceRun(
        **{
            "family": "llama3.1", "capability": capability, "outcome": outcome, "python": "3.11", "date": "2026-11-24",
            "packages": {"transformers": "4.43.1", "torch": "2.4.0"}, "platform": "linux-x86_64", "tool": "a test",
            **fields,
        }
    )  # fmt: skip


def test_what_is_written_is_read_again_sorted_and_once(tmp_path: Path) -> None:
    runs = [entry("merge"), entry("load", "fail", error="ValueError: x"), entry("load", seconds=1.5)]
    path = tmp_path / "some.evidence.json"
    write_atomically(path, encode_results(runs), parents=True)
    kept = load_results(path)
    assert list(kept) == sorted(kept)
    assert {one.capability for one in kept.values()} == {"load", "merge"}
    assert kept[runs[2].id].seconds == 1.5, "the later run of the same thing stands"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert load_results(tmp_path / "none.json") == {}


def test_an_id_follows_what_was_run_and_nothing_else() -> None:
    first = entry()
    assert first.id.startswith("llama3.1:load:4.43.1:")
    assert first.id == entry(outcome="fail", date="2027-01-01", seconds=3, error="x", tool="another").id
    others = [entry(python="3.12"), entry(platform="macos-arm64"), entry(packages={"transformers": "4.43.1"}),
              entry(trained_with={"peft": "0.12.0"}), entry(family="llama3"), entry("train")]  # fmt: skip
    assert len({first.id, *(one.id for one in others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("runs", "grade"),
    [
        ([], None),
        ([("import", "ok")], "import"),
        ([("load", "ok"), ("forward", "ok")], "load"),
        ([("load", "ok"), ("generate", "fail"), ("train", "ok")], "load"),
        ([("load", "fail"), ("merge", "ok")], None),
        ([("load", "timeout")], None),
        ([("load", "ok"), ("train", "untestable")], "load"),
        ([("load", "ok"), ("train", "ok"), ("merge", "ok")], "merge-verified"),
    ],
)
def test_what_runs_prove(runs: list[tuple[Capability, Outcome]], grade: str | None) -> None:
    assert reached(entry(capability, outcome) for capability, outcome in runs) == grade


def test_every_fault_of_a_document_has_its_place(tmp_path: Path) -> None:
    good = msgspec.to_builtins(entry())
    entries = [{**good, "outcome": "maybe"}, {**good, "seconds": "1"}, {**good, "extra": 1}, {"family": "x"}]
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps({"schema": 1, "kind": "matrix-evidence", "entries": entries}))
    with pytest.raises(InputError) as caught:
        read_document(path)
    found = {line.split(": ")[0] for line in caught.value.problems}
    assert {"entries[0].outcome", "entries[1].seconds", "entries[2].extra", "entries[3].capability"} <= found


@pytest.mark.parametrize("document", [None, [], {}, {"kind": "bisect"}, {"kind": "matrix-evidence", "schema": 7}])
def test_another_document_is_refused(document: Any) -> None:
    with pytest.raises(InputError):
        parse_document(document, source="a file")


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff"])
def test_unreadable_files(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "evidence.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError):
        read_document(path)


def test_evidence_lies_beside_its_matrix(tmp_path: Path) -> None:
    assert evidence_path(tmp_path / "mine.toml") == tmp_path / "mine.evidence.json"
    assert evidence_path(data_path("compat_matrix.toml")) == evidence_path()
    for key, one in load_results().items():
        assert key == one.id
