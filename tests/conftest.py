"""Fixtures of every tier. The unit and property tiers may neither open sockets nor start processes."""

from __future__ import annotations

import multiprocessing.process
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

LONGEST_ID = 400
CLOSED = {Path(__file__).parent / "unit", Path(__file__).parent / "property"}

# A shell starts a background job with these ignored, children inherit that, and envpin rightly keeps it so. Tests of
# signals must not depend on how the test run itself was started.
for _name in ("SIGINT", "SIGQUIT", "SIGHUP"):
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) == signal.SIG_IGN:
        signal.signal(getattr(signal, _name), signal.default_int_handler if _name == "SIGINT" else signal.SIG_DFL)


# Half the examples that hypothesis tries of itself keep the unit tier near half a minute; `make test-all` tries
# twice as many as it would. A slow machine is no fault of a test.
settings.register_profile("quick", max_examples=50, deadline=None)
settings.register_profile("thorough", max_examples=200, deadline=None)
settings.load_profile("thorough" if os.environ.get("ENVPIN_TEST_ALL") else "quick")

# Nor may they depend on a matrix of the user's own, or start hundreds of processes that compile every module anew.
os.environ["ENVPIN_MATRIX"] = ""
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # the order of the collection, below


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A long input is named by its length: xdist sends the id of a test with all that it says of it. One was 33 MB."""
    return f"{argname} of {len(val)}" if isinstance(val, (str, bytes)) and len(val) > LONGEST_ID else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getoption("dist") != "loadgroup":
        return None
    from tests.support.scheduling import Dealer

    return Dealer(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if getattr(config.option, "loadgroup", False):
        from tests.support.scheduling import rank

        items.sort(key=lambda item: rank(item.nodeid))


@pytest.fixture(autouse=True)
def _closed_tiers_stay_closed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if CLOSED.isdisjoint(Path(str(request.path)).parents):
        return

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        pytest.fail("a test of a closed tier opened a socket or started a process")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refuse)
