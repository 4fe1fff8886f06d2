"""Which wheel of a lock a machine takes, by its tags and markers."""

from __future__ import annotations

import pytest

from envpin.core.errors import BuildError, UsageError
from envpin.envs.locks.fitting import Target, checked_target, wheels_for
from envpin.envs.locks.lock import Lock, parse_lock

SHA = "0" * 64


def lock_of(*wheels: str, marker: str = "") -> Lock:
    listed = ", ".join(f'{{ url = "https://x/{wheel}", hashes = {{ sha256 = "{SHA}" }} }}' for wheel in wheels)
    said = f'marker = "{marker}"\n' if marker else ""
    head = 'lock-version = "1.0"\ncreated-by = "t"\n[[packages]]\nname = "p"\nversion = "1.0"\n'
    return parse_lock(f"{head}{said}wheels = [{listed}]\n")


WHEELS = (
    "p-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "p-1.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    "p-1.0-cp311-cp311-manylinux_2_28_aarch64.whl",
    "p-1.0-cp311-cp311-macosx_11_0_arm64.whl",
    "p-1.0-cp311-cp311-win_amd64.whl",
    "p-1.0-cp310-abi3-win_amd64.whl",
    "p-1.0-cp313-cp313-manylinux_2_28_x86_64.whl",
)


@pytest.mark.parametrize(
    ("platform", "python", "expected"),
    [
        ("linux-x86_64", "3.11", "p-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"),
        ("linux-x86_64", "3.13", "p-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"),
        ("linux-aarch64", "3.11", "p-1.0-cp311-cp311-manylinux_2_28_aarch64.whl"),
        ("macos-arm64", "3.11", "p-1.0-cp311-cp311-macosx_11_0_arm64.whl"),
        ("windows-x86_64", "3.11", "p-1.0-cp311-cp311-win_amd64.whl"),
        ("windows-x86_64", "3.12", "p-1.0-cp310-abi3-win_amd64.whl"),
    ],
)
def test_each_machine_takes_its_wheel(platform: str, python: str, expected: str) -> None:
    ((_, wheel),) = wheels_for(lock_of(*WHEELS), Target(platform=platform, python=python))
    assert wheel.filename == expected


def test_a_missing_wheel_is_named_with_what_there_is() -> None:
    with pytest.raises(BuildError, match=r"no wheel for macos-arm64 and Python 3\.12 of p 1\.0: only p-1\.0-cp311"):
        wheels_for(lock_of(*WHEELS), Target(platform="macos-arm64", python="3.12"))


def test_a_mac_of_another_release_needs_another_wheel() -> None:
    with pytest.raises(BuildError):
        wheels_for(lock_of("p-1.0-cp311-cp311-macosx_15_0_arm64.whl"), Target(platform="macos-arm64", python="3.11"))


def test_markers_are_those_of_the_other_machine() -> None:
    only_mac = lock_of("p-1.0-py3-none-any.whl", marker="sys_platform == 'darwin' and platform_machine == 'arm64'")
    assert len(wheels_for(only_mac, Target(platform="macos-arm64", python="3.11"))) == 1
    assert wheels_for(only_mac, Target(platform="linux-x86_64", python="3.11")) == ()


def test_a_platform_that_nobody_has_is_refused() -> None:
    with pytest.raises(UsageError, match="`amiga`"):
        checked_target("amiga", "3.11")
