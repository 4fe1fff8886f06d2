"""What uv's words mean."""

from __future__ import annotations

import pytest

from envpin.core.errors import (
    BuildError,
    DiskFullError,
    EnvironmentSetupError,
    EnvpinError,
    NetworkError,
    NoInterpreterError,
    ResolutionError,
)
from envpin.envs.uv.errors import error_of, missing_interpreter


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("error: No solution found when resolving dependencies\n  cause: Because …", ResolutionError),
        ("  × No solution found when resolving dependencies:\n  ╰─▶ Because …", ResolutionError),
        ("error: Failed to fetch: `https://x/`\n  Caused by: dns error", NetworkError),
        ("× No solution found\n\nhint: Packages were unavailable because the network was disabled.", NetworkError),
        ("error: No interpreter found for Python 3.7 in managed installations", NoInterpreterError),
        ("error: Failed to download `x==1`\n  cause: Hash mismatch for `x==1`", BuildError),
        ("error: Failed to extract archive: x.whl\n  cause: No space left on device (os error 28)", DiskFullError),
        ("error: Package `x` can't be installed because it is marked as `--no-build`", BuildError),
        ("error: something nobody has seen before", EnvironmentSetupError),
        ("", EnvironmentSetupError),
    ],
)
def test_words_become_errors(said: str, expected: type[EnvpinError]) -> None:
    error = error_of(said, what="resolving `x`")
    assert type(error) is expected
    assert error.message.startswith("resolving `x` failed: ")


def test_the_gist_is_short_and_without_uv_s_own_hints() -> None:
    said = (
        "Using Python 3.11\nerror: No solution found when resolving dependencies\n"
        + "  because\n" * 40
        + "hint: try pip"
    )
    message = error_of(said, what="resolving").message
    assert len(message.splitlines()) == 12
    assert "hint" not in message
    assert "Using Python" not in message
    assert message.endswith("more lines")


def test_the_gist_ends_where_uv_starts_to_give_hints() -> None:
    said = "error: No solution found\n  because x\nhint: try pip\n  of the newest\n"
    assert error_of(said, what="resolving").message == "resolving failed: No solution found\n  because x"


def test_the_gist_is_twelve_lines_at_most() -> None:
    for count in (11, 12, 13, 30):
        lines = error_of("error: " + "\n".join(f"line {at}" for at in range(count)), what="x").message.splitlines()
        assert len(lines) == min(count, 12)
        assert lines[-1] == (f"line {count - 1}" if count <= 12 else f"  … and {count - 11} more lines")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (NoInterpreterError("finding Python failed: none"), "Python 3.9 is not installed"),
        (
            NetworkError("finding Python failed: dns error\nmore"),
            "Python 3.9 is not installed, and it could not be downloaded: dns error",
        ),
        (NetworkError("no word"), "Python 3.9 is not installed, and it could not be downloaded"),
    ],
)
def test_a_missing_interpreter_says_why_none_came(fault: EnvpinError, message: str) -> None:
    error = missing_interpreter("3.9", fault)
    assert error.message == message
    assert error.hint == "install it (`uv python install 3.9`), or choose another with `--python`"
