"""The file of collected tools: written and read, and what a registry's absence means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError
from envpin.matrix.stack import Stack, Tool, ToolRelease, encode_stack, load_stack, registry_of, shipped_stack_path

if TYPE_CHECKING:
    from pathlib import Path

RELEASES = (
    ToolRelease(version="1.0", date="2024-01-01", unread=True, source=True),
    ToolRelease(version="1.1", date="2024-02-01", requires={"torch": ">=2", "numpy": "<2"}),
    ToolRelease(version="1.2", date="2024-03-01", yanked=True, requires={"torch": ">=2"}, optional={"peft": ">=1"}),
    ToolRelease(version="1.3", date="2024-04-01", requires={"torch": "==2.6"}, cuda="12.4"),
)
TOOL = Tool("tool", RELEASES, {"architectures": registry_of([["A"], ["A", "B"], ["B"]])})


def test_it_reads_what_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    path.write_bytes(encode_stack(Stack({"tool": TOOL, "bare": Tool("bare", RELEASES[1:2])})))
    found = load_stack(path)
    assert found.tools["tool"].releases == RELEASES
    assert found.tools["tool"].registries == TOOL.registries
    assert encode_stack(found) == path.read_bytes()
    assert found.collected == "2024-04-01"


def test_the_shipped_file_is_as_it_would_be_written() -> None:
    assert encode_stack(load_stack(shipped_stack_path())) == shipped_stack_path().read_bytes()


@pytest.mark.parametrize(
    ("version", "name", "listed"),
    [("1.0", "A", None), ("1.1", "A", True), ("1.1", "B", False), ("1.3", "A", False), ("1.3", "C", False),
     ("9", "A", None)],
)  # fmt: skip
def test_a_release_whose_registry_was_not_read_says_nothing(version: str, name: str, listed: bool | None) -> None:
    assert TOOL.lists("architectures", name, version) is listed
    assert TOOL.lists("model_types", name, version) is None


def test_a_listing_leaves_yanked_releases_out() -> None:
    assert [one.version for one in TOOL.listing("architectures", ["A"])] == ["1.1"]
    assert [one.version for one in TOOL.listing("architectures", ["A", "B"])] == ["1.1", "1.3"]


@pytest.mark.parametrize(
    ("day", "version"), [("2023-01-01", "1.0"), ("2024-02-01", "1.1"), ("2024-03-15", "1.1"), ("2025-01-01", "1.3")]
)
def test_the_current_release_of_a_day_is_not_yanked(day: str, version: str) -> None:
    current = TOOL.current_at(day)
    assert current is not None
    assert current.version == version


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "not collected data"), ('{"schema":99}', "schema is 99"), ('{"schema":1}', "`tools` is missing"),
     ('{"schema":1,"tools":{"t":{"releases":[],"registries":{"a":{"X":[[0]]}}}}}', "does not list")],
)  # fmt: skip
def test_another_file_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "stack.json"
    path.write_text(text)
    with pytest.raises(InputError, match=reason):
        load_stack(path)


def test_the_users_own_counts_where_it_is_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENVPIN_MATRIX", raising=False)
    monkeypatch.setenv("ENVPIN_HOME", str(tmp_path))
    own = tmp_path / "stack.json"
    own.write_bytes(encode_stack(Stack({"tool": TOOL})))
    assert "vllm" in load_stack().tools
    newer = ToolRelease(version="2", date="2999-01-01")
    own.write_bytes(encode_stack(Stack({"tool": Tool("tool", [newer])})))
    assert list(load_stack().tools) == ["tool"]
    own.write_text("{")
    assert "vllm" in load_stack().tools


@pytest.mark.parametrize(
    ("version", "torch"), [("1.0", "==1.0"), ("2.0", ">=2.0"), ("2.1", ">=2.0"), ("3.0", None), ("9.9", None)]
)
def test_a_release_that_declares_no_torch_goes_with_that_of_the_next(version: str, torch: str | None) -> None:
    releases = [
        ToolRelease("1.0", "2024-01-01", requires={"torch": "==1.0"}), ToolRelease("2.0", "2024-02-01"),
        ToolRelease("2.1", "2024-03-01", requires={"torch": ">=2.0"}), ToolRelease("3.0", "2024-04-01"),
        ToolRelease("3.1", "2024-05-01"),
    ]  # fmt: skip
    assert Tool("torchaudio", releases).torch_of(version) == torch
