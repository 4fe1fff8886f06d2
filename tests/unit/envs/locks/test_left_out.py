"""Why a lock is not for a Python or a platform: the words, and which of them belong together."""

from __future__ import annotations

import pytest

from envpin.core.errors import ResolutionError
from envpin.envs.locks.compare import stale_promises
from envpin.envs.locks.left_out import declared, in_words
from envpin.envs.locks.lock import parse_lock

LOCK = f"""lock-version = "1.0"
created-by = "uv"

[[packages]]
name = "six"
version = "1.0"
wheels = [
    {{ url = "https://files.example/six-1.0-py3-none-any.whl", hashes = {{ sha256 = "{"a" * 64}" }} }},
]
"""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "does not satisfy Python>=3.11.0 and transformers==5.23.0\n  depends on Python>=3.11.0, we can conclude",
            "transformers 5.23.0 declares Python >=3.11.0",
        ),
        ("Because alpha==1.0 requires Python >3.11 and you require alpha", "alpha 1.0 declares Python >3.11"),
        ("there is no version of alpha==9", "nothing resolves on Python 3.10"),
    ],
)
def test_a_python_is_left_out_for_what_a_package_declares(said: str, expected: str) -> None:
    assert declared(ResolutionError(said), "3.10") == expected


def test_a_python_on_which_all_resolves_was_not_asked_for() -> None:
    assert declared(None, "3.10") == "not asked for (`--python`)"


def test_neighbouring_pythons_with_one_reason_are_one_line() -> None:
    found = [(platform, f"3.{minor}", "no wheel of a") for platform in ("x", "y") for minor in (13, 14, 15)]
    assert in_words(found) == ["x, y with Python 3.13 to 3.15: no wheel of a"]
    assert in_words([("x", "3.10", "no"), ("x", "3.12", "no"), ("y", "3.12", "other")]) == [
        "x with Python 3.10: no", "x with Python 3.12: no", "y with Python 3.12: other",
    ]  # fmt: skip
    assert in_words([]) == []


def test_a_lock_that_says_other_reasons_is_stale() -> None:
    kept = parse_lock(LOCK + '\n[tool.envpin]\nleft-out = ["x with Python 3.13: no wheel of a"]\n')
    assert kept == parse_lock(LOCK), "they install the same"
    assert stale_promises(kept, kept) == []
    (problem,) = stale_promises(kept, parse_lock(LOCK))
    assert "envpin lock --all" in problem
