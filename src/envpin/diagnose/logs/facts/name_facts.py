"""What was collected of names by release, and how it is said. Pure but for collected data.

`names.json` was read from the wheels by `scripts/collect_names.py`: the last patch of each minor series, so that a
release is named by its series.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import msgspec

from envpin.diagnose.logs.facts.collected import read_collected

PACKAGES = {"transformers", "trl", "accelerate", "peft", "huggingface_hub", "datasets"}
# Members that transformers' Trainer sets in its constructor, which the collector does not read.
SET_BY_TRAINER = {"processing_class": ("4.46",), "model_accepts_loss_kwargs": ("4.46",), "use_apex": ("", "5.0")}
NEWER_CODE = "take newer code, which does without"
OF_ONE_TIME = "take code and packages of one time"
TRAINING = "run with the versions of the training run: envpin run ADAPTER -- CMD"


class _Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One package. `releases`: first series, last release, how many; the tables hold where a name came and went."""

    releases: tuple[str, str, int]
    always: frozenset[str]
    names: dict[str, dict[str, tuple[str, ...]]]
    members: dict[str, dict[str, tuple[str, ...]]]
    arguments: dict[str, dict[str, tuple[str, ...]]]
    modules: dict[str, tuple[str, ...]] = {}


class Words(NamedTuple):
    """What a finding says of releases, instead of its catalogue's words. `went`: a release took it away."""

    says: str
    fix: tuple[str, ...]
    went: bool = False


# Every release has the name: what failed is the import itself (a damaged or shadowed package), no version.
NOT_A_RELEASE = Words("", ())


def said(what: str, package: str, stays: tuple[str, ...]) -> Words:
    """`stays` are where a name came and went by turns; "" is before the first release that was looked at."""
    came, gone = stays[-1 if len(stays) % 2 else -2], "" if len(stays) % 2 else stays[-1]
    earlier = stays[-2] if len(stays) % 2 and len(stays) > 1 else ""
    shown = package.replace("_", "-")
    if earlier:
        says = f"{what} went with {shown} {earlier} and came again with {came}"
        return Words(says, (f"run with {shown} < {earlier}, as training did: envpin run ADAPTER -- CMD",
                            f"with {shown} ≥ {came}"), went=True)  # fmt: skip
    if gone and came:
        says = f"{what} came with {shown} {came} and went with {gone}"
        return Words(says, (f"run with {shown} ≥ {came} and < {gone}: envpin run ADAPTER -- CMD",
                            NEWER_CODE), went=True)  # fmt: skip
    if gone:
        says = f"{what} went with {shown} {gone}: the code is of an older {shown}"
        return Words(says, (f"run with {shown} < {gone}, as training did: envpin run ADAPTER -- CMD",
                            NEWER_CODE), went=True)  # fmt: skip
    says = f"{what} came with {shown} {came}: this {shown} is older"
    return Words(says, (f"run with {shown} ≥ {came}",))


def series(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".") if part.isdigit())


@cache
def facts_of(package: str) -> _Facts:
    """The facts of one package. KeyError where it is not one of `PACKAGES`."""
    return msgspec.json.decode(_texts()[package], type=_Facts)


@cache
def _texts() -> dict[str, msgspec.Raw]:
    """A package's part stays text until it is asked for: to read all of it takes longer than most logs."""
    raw = read_collected("names.json", dict[str, msgspec.Raw], most=2_000_000)
    return {name: raw[name] for name in PACKAGES}
