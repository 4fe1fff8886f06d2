"""The ways to get a build of torch: the user's own index first, then that of the label, then any build."""

from __future__ import annotations

import pytest

from envpin.envs.locks.torch_wish import TorchWay, TorchWish, ways

PINS = ("torch==2.3.0", "peft==0.12.0")


def test_without_a_wish_there_is_one_way() -> None:
    assert ways(PINS, None, system="linux") == (TorchWay(PINS),)
    assert ways(PINS, TorchWish(label="index"), system="linux") == (TorchWay(PINS),)


def test_a_recorded_label_is_looked_for_at_home_then_in_its_index_then_given_up() -> None:
    labelled = ("torch==2.3.0+cu121", "peft==0.12.0")
    found = ways(PINS, TorchWish(label="cu121", recorded=True), system="linux")
    assert found == (TorchWay(labelled), TorchWay(labelled, "cu121"), TorchWay(PINS))


def test_a_required_build_has_no_substitute() -> None:
    found = ways(PINS, TorchWish(label="cpu", required=True), system="linux")
    assert TorchWay(PINS) not in found
    written = ("torch==2.3.0+cu118", "peft==0.12.0")
    assert ways(written, None, system="linux") == (TorchWay(written), TorchWay(written, "cu118"))


def test_an_unpinned_torch_comes_from_the_index_of_the_label() -> None:
    loose = ("torch", "peft")
    assert ways(loose, TorchWish(label="cpu"), system="linux") == (TorchWay(loose, "cpu"), TorchWay(loose))


def test_a_label_with_a_suffix_keeps_it_and_asks_its_backend() -> None:
    found = ways(PINS, TorchWish(label="cpu.cxx11.abi"), system="linux")
    assert found[1] == TorchWay(("torch==2.3.0+cpu.cxx11.abi", "peft==0.12.0"), "cpu")


def test_auto_is_left_to_uv_and_a_mac_has_one_build() -> None:
    assert ways(PINS, TorchWish(label="auto", required=True), system="linux") == (TorchWay(PINS, "auto"),)
    assert ways(PINS, TorchWish(label="cpu"), system="darwin") == (TorchWay(PINS),)


@pytest.mark.parametrize(
    ("label", "version", "fits"),
    [("cpu", "2.3.0+cpu", True), ("cpu", "2.3.0", False), ("cu121", "2.3.0+cpu", False), ("auto", "2.3.0", True)],
)
def test_a_version_fits_by_its_label(label: str, version: str, *, fits: bool) -> None:
    assert TorchWish(label=label).fits(version) is fits
