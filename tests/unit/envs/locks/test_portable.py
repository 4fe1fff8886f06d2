"""What a lock for every platform promises."""

from __future__ import annotations

from typing import Any

import pytest

from envpin.envs.locks.portable import PLATFORMS, _narrow


@pytest.mark.parametrize(
    ("floor", "minors", "promised"),
    [
        ("3.11", ["3.11", "3.12"], ">=3.11,<3.13"),
        ("3.11.5", ["3.11", "3.12"], ">=3.11.5,<3.13"),  # a package asked for that patch level
        ("3.11.5", ["3.12"], ">=3.12,<3.13"),
    ],
)
def test_a_lock_promises_no_python_before_the_one_it_was_resolved_for(
    floor: str, minors: list[str], promised: str
) -> None:
    document: dict[str, Any] = {"packages": []}
    _narrow(document, {PLATFORMS[0]: minors}, floor=floor)
    assert document["requires-python"] == promised
