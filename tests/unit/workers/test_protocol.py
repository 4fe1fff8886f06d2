"""What a worker tells of errors that are no fault of the files."""

from __future__ import annotations

import errno

import pytest

from envpin.workers.protocol import os_error, system_error


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Error while serializing: I/O error: No space left on device (os error 28)", "disk-full"),
        ("Error while serializing: I/O error: Permission denied (os error 13)", "permission"),
        ("Error while serializing: I/O error: Input/output error (os error 5)", "os-error"),
    ],
)
def test_what_rust_says_of_the_system_is_told_as_python_s_own(message: str, kind: str) -> None:
    refused = system_error(Exception(message))
    assert refused is not None
    assert os_error(refused)["kind"] == kind


def test_another_error_of_saving_is_none_of_the_system() -> None:
    assert system_error(Exception("Some tensors share memory")) is None
    assert os_error(OSError(errno.EROFS, "read-only", "staging"))["kind"] == "permission"
