"""Pins of a release and its time, and the family that is most like an unknown one."""

from __future__ import annotations

from packaging.specifiers import SpecifierSet

from envpin.matrix.nearest import era_pins
from envpin.matrix.support import load_support, shipped_path

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
