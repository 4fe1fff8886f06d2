"""Fixtures of every tier. The unit tier may neither open sockets nor start processes."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

UNIT = Path(__file__).parent / "unit"


@pytest.fixture(autouse=True)
def _unit_tier_is_closed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if UNIT not in Path(str(request.path)).parents:
        return

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        pytest.fail("a unit test opened a socket or started a process")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
