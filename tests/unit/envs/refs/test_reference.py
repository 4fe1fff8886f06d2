"""References: each form is told from the others, and nonsense is refused with the forms named."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from envpin.core.errors import InputError
from envpin.envs.locks.requirements import check_requirements, exact_pins
from envpin.envs.refs.reference import (
    AdapterReference,
    FamilyReference,
    LockReference,
    PinsReference,
    parse_reference,
    split_pins,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_families_and_pins() -> None:
    assert parse_reference("llama3.1") == FamilyReference(id="llama3.1")
    assert parse_reference(" qwen2.5-vl ") == FamilyReference(id="qwen2.5-vl")
    assert parse_reference("transformers==4.43.1,peft==0.12.0") == PinsReference(
        requirements=("transformers==4.43.1", "peft==0.12.0")
    )


def test_paths(tmp_path: Path) -> None:
    lock = tmp_path / "pylock.x.toml"
    lock.touch()
    assert parse_reference(str(lock)) == LockReference(path=lock)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    assert parse_reference(str(adapter)) == AdapterReference(path=adapter)
    manifest = adapter / "envpin.json"
    manifest.touch()
    assert parse_reference(str(manifest)) == AdapterReference(path=manifest)


def test_an_adapter_in_the_working_folder_wins_over_a_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llama3.1").mkdir()
    monkeypatch.chdir(tmp_path)
    assert isinstance(parse_reference("llama3.1"), FamilyReference)
    (tmp_path / "llama3.1" / "adapter_config.json").touch()
    assert isinstance(parse_reference("llama3.1"), AdapterReference)


@pytest.mark.parametrize("text", ["", "  ", "./nowhere", "no/where/envpin.json", "pylock.none.toml", "-x", "a b c"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_reference(text)


@given(st.text(max_size=300))
@example("~nobody")
@example("a\0b/envpin.json")
@example("x" * 5000)
@example("/" + "x" * 5000)
@example("x" * 5000 + "/envpin.json")
def test_any_text_is_a_reference_or_an_error_of_ours(text: str) -> None:
    with contextlib.suppress(InputError):
        parse_reference(text)


def test_specifiers_and_extras_keep_their_commas() -> None:
    assert split_pins("a>=1,<2,b[x,y]==3, c ~=1.0") == ("a>=1,<2", "b[x,y]==3", "c ~=1.0")


def test_only_versions_from_an_index_are_let_through() -> None:
    with pytest.raises(InputError) as caught:
        check_requirements(["a @ https://x/a.whl", "--index-url=x", "b==1"])
    assert len(caught.value.problems) == 2


def test_exact_pins() -> None:
    assert exact_pins(["Torch==2.4.0", "peft==0.12.*", "numpy>=1", "a_b==1; python_version>'3'"]) == {
        "torch": "2.4.0",
        "a-b": "1",
    }
