"""What uv's words mean."""

from __future__ import annotations

import pytest

from envpin.core.errors import (
    BuildError,
    CacheDamagedError,
    DiskFullError,
    EnvironmentSetupError,
    EnvpinError,
    NetworkError,
    NoInterpreterError,
    ResolutionError,
)
from envpin.envs.uv.errors import error_of, missing_interpreter, patch_asked_for


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
        (
            "error: Failed to install: x.whl (x==1)\n  cause: failed to open `/c/archive-v0/A/R`: No such file",
            CacheDamagedError,
        ),
        (
            "error: Failed to install: x.whl (x==1)\n  cause: The wheel is invalid: Missing .dist-info",
            CacheDamagedError,
        ),
        ("error: Failed to download `x==1`\n  cause: Failed to deserialize cache entry", CacheDamagedError),
        ("error: Failed to install: x.whl (x==1)\n  cause: failed to write `/e/x.py`: Permission denied", BuildError),
        ("error: Failed to parse environment variable `UV_HTTP_TIMEOUT` with invalid value `x`", EnvironmentSetupError),
        ("error: Failed to initialize cache at `/c`\n  cause: Permission denied", EnvironmentSetupError),
        ("error: something nobody has seen before", EnvironmentSetupError),
        ("", EnvironmentSetupError),
    ],
)
def test_words_become_errors(said: str, expected: type[EnvpinError]) -> None:
    error = error_of(said, what="resolving `x`")
    assert type(error) is expected
    assert error.message.startswith("resolving `x` failed: ")


@pytest.mark.parametrize(("option", "hint"), [("torch-backend", "--torch-backend"), ("python-version", "--python X.Y")])
def test_a_value_that_envpin_handed_on_is_not_called_a_setting_of_uv(option: str, hint: str) -> None:
    said = f"error: invalid value 'cu999' for '--{option} <VALUE>'\n  [possible values: auto, cpu]"
    assert hint in str(error_of(said, what="resolving").hint)


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


def test_a_fault_of_the_cache_names_its_package_and_a_setting_is_the_user_s_to_correct() -> None:
    for said in (
        "Failed to install: a-1.whl (a-b==1)\n  cause: The wheel is invalid",
        "Failed to download `a-b==1`\n  cause: Failed to deserialize cache entry",
    ):
        fault = error_of(f"error: {said}", what="x")
        assert isinstance(fault, CacheDamagedError)
        assert fault.package == "a-b"
    said = "error: invalid value 'bogus' for '--link-mode <LINK_MODE>'\n\nFor more information, try '--help'."
    setting = error_of(said, what="x")
    assert setting.hint is not None
    assert "`UV_…`" in setting.hint
    assert "--help" not in setting.message


@pytest.mark.parametrize(
    ("python", "declared", "patch"),
    [("3.11", ">=3.11.5", "3.11.5"), ("3.11", ">3.11.1", "3.11.2"), ("3.11", ">=3.12.1", None),
     ("3.11", ">=3.11.0", None), ("3.11.7", ">=3.11.9", None), ("3.1", ">=3.11", None)],
)  # fmt: skip
def test_a_package_that_asks_for_a_later_patch_of_the_same_python_is_told_apart(
    python: str, declared: str, patch: str | None
) -> None:
    because = f"""  ╰─▶ Because the requested Python version (>={python}) does not satisfy
      Python{declared} and soupsieve==4.1.3 depends on Python{declared}, …"""
    for said in (because, f"  cause: Because late==1.0 requires Python {declared} and you require late==1.0, …"):
        fault = error_of(f"  × No solution found when resolving dependencies:\n{said}", what="resolving")
        assert patch_asked_for(fault, python) == patch
