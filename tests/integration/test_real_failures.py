"""Failures that files alone do not show, run for real: `diagnose` names each by what the libraries printed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from envpin.diagnose.logs.reader import diagnose_log
from tests.support.failures import FAILURES, Failure, fail

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.xdist_group("real-failures")


@pytest.fixture(scope="module")
def log_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Failure], str]:
    """The log of a failure; those that share an environment are made together, when the first is asked for."""
    known: dict[tuple[str, tuple[str, ...]], dict[str, str]] = {}

    def log(failure: Failure) -> str:
        key = (failure.environment, failure.over)
        if key not in known:
            group = [one for one in FAILURES if (one.environment, one.over) == key]
            known[key] = fail(group, tmp_path_factory.mktemp("failures") / "logs")
        return known[key][failure.name]

    return log


@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: f"{one.name}-{one.environment}-{one.code}")
def test_a_real_failure_has_its_code(failure: Failure, log_of: Callable[[Failure], str]) -> None:
    log = log_of(failure)
    assert "it did not fail" not in log
    assert [one.code for one in diagnose_log(io.BytesIO(log.encode())).findings] == [failure.code], log[-2000:]
