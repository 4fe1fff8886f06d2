"""Pins of a release and its time, and the family that is most like an unknown one."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from envpin.matrix.nearest import architecture_type, era_pins, has_new_rope_spelling, nearest_family, own_release
from envpin.matrix.support import ReleaseFacts, Support, load_support, shipped_path
from envpin.matrix.types import Family, Matrix, Recognition

SUPPORT = load_support(shipped_path())


def test_what_fits_a_release_is_what_it_declares() -> None:
    never_released = set()
    for release in SUPPORT.transformers:
        pins, python, _ = era_pins(release.version, SUPPORT) or ({}, "", "")
        declared = SUPPORT.requirements(release.version)
        assert SpecifierSet(declared["python"]).contains(f"{python}.9"), release.version
        assert SpecifierSet(declared.get("torch", "")).contains(pins["torch"]), release.version
        peft = next((one for one in SUPPORT.peft if one.version == pins.get("peft")), None)
        if peft is not None:
            assert not SUPPORT.missing_names(peft, release.version)
            if not SpecifierSet(declared.get("peft", "")).contains(peft.version):
                never_released.add(declared["peft"])
    assert never_released <= {">=0.18.2", ">=0.22.0"}


@pytest.mark.parametrize(
    ("release", "newer", "python"),
    [("4.43.1", "2024-08-13", "3.11"), ("4.26.1", "2023-03-02", "3.9"), ("4.27.0", "2023-04-05", "3.11")],
)
def test_era_pins_come_from_three_weeks_after_the_release(release: str, newer: str, python: str) -> None:
    made = era_pins(release, SUPPORT)
    assert made is not None
    assert (made[0]["transformers"], made[1], made[2]) == (release, python, newer)
    assert dt.date.fromisoformat(newer) - dt.date.fromisoformat(SUPPORT.date(release) or "") == dt.timedelta(days=21)


def matrix(**types: str) -> Matrix:
    families = {
        name: Family(title=name, id=name, match=Recognition(model_type=(kind,))) for name, kind in types.items()
    }
    return Matrix(schema=1, families=families)


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("llamb", "a"), ("llam", "a"), ("lla", None), ("llax", None),  # four letters are the least
        ("llama9", "a"), ("LLAMA9", "a"), ("qwen2_moe_new", "c"), ("qwen2x", "b"), ("xllama", None), ("", None),
    ],
)  # fmt: skip
def test_nearest_family_shares_four_letters_or_more(kind: str, family: str | None) -> None:
    found = nearest_family(kind, matrix(a="llama", b="qwen2", c="qwen2_moe"))
    assert (found.id if found else None) == family


@given(st.text("abc", min_size=1, max_size=9), st.lists(st.text("abc", min_size=1, max_size=9), max_size=6))
def test_nearest_family_is_the_first_of_those_that_share_the_longest_beginning(kind: str, types: list[str]) -> None:
    def shared(other: str) -> int:
        return next(
            (at for at in range(min(len(kind), len(other))) if kind[at] != other[at]), min(len(kind), len(other))
        )

    found = nearest_family(kind, matrix(**{f"f{at}": one for at, one in enumerate(types)}))
    lengths = [shared(one) for one in types]
    longest = max(lengths, default=0)
    assert (found.id if found else None) == (f"f{lengths.index(longest)}" if longest >= 4 else None)


FEW = Support(
    transformers=tuple(
        ReleaseFacts(version=version, date="2024-01-01") for version in ("4.1.0", "4.1.2", "4.2.0", "4.2.1", "5.0.0")
    ),
    model_types={"new": ((2, 4),), "gone": ((0, 1),)},
)


@pytest.mark.parametrize(
    ("kind", "own", "release"),
    [
        ("new", "4.2.0", "4.2.1"),  # its own, in its last patch
        ("new", "4.1.0", "4.2.1"),  # it did not know the type: the first that does
        ("new", None, "4.2.1"),
        ("new", "9.0.0", "5.0.0"),  # newer than was collected: the newest
        ("gone", "9.0.0", "4.1.2"),  # the last that knew it
        ("nobody", "4.1.0", "4.1.0"), ("nobody", "4.1.0.dev0", "4.1.0"), ("nobody", "9.0.0", "5.0.0"),
        ("nobody", None, None),
    ],
)  # fmt: skip
def test_own_release_by_what_the_config_says_and_who_knows_the_type(
    kind: str, own: str | None, release: str | None
) -> None:
    found, why = own_release(kind, own, FEW)
    assert found == release
    assert why


@pytest.mark.parametrize(
    ("own", "release"),
    [("4.21.0.dev0", "4.21.0"), ("4.21", "4.21.0"), ("4", None), ("4.1.2.3", None), ("soon", None), (None, None)],
)
def test_own_release_without_support_is_the_number_of_the_config(own: str | None, release: str | None) -> None:
    assert own_release("x", own, None) == (release, [])


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("LlamaForCausalLM", "llama"), ("Qwen2VLForConditionalGeneration", "qwen2_vl"), ("GPT2LMHeadModel", "gpt2"),
        ("T5Model", "t5"), ("BertModelForX", "bert"),
    ],
)  # fmt: skip
def test_architecture_type_from_the_name_of_a_class(architecture: str, kind: str) -> None:
    assert architecture_type(architecture) == kind


@pytest.mark.parametrize(
    ("config", "new"),
    [
        ({"rope_parameters": {}}, True), ({"rope_parameters": {}, "rope_theta": 1.0}, False), ({}, False),
        ({"rope_parameters": 3}, False), ({"text_config": {"rope_parameters": {}}}, True), ({"text_config": 3}, False),
    ],
)  # fmt: skip
def test_new_rope_spelling_is_parameters_without_a_theta(config: dict[str, Any], *, new: bool) -> None:
    assert has_new_rope_spelling(config) is new
