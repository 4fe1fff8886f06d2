"""The import that signals wait for."""

from __future__ import annotations

import importlib
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from envpin.core.interrupts import HeldImport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MASKED = "import signal\nheld = signal.pthread_sigmask(signal.SIG_BLOCK, [])\n"


@pytest.fixture
def finder() -> Iterator[HeldImport]:
    found = HeldImport("package_that_is_held")
    sys.meta_path.insert(0, found)
    yield found
    sys.meta_path.remove(found)
    for name in ("package_that_is_held", "package_beside_it"):
        sys.modules.pop(name, None)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mask of signals")
@pytest.mark.usefixtures("finder")
def test_signals_wait_for_the_named_package_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("package_that_is_held", "package_beside_it"):
        (tmp_path / f"{name}.py").write_text(_MASKED)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= importlib.import_module("package_that_is_held").held
    assert importlib.import_module("package_beside_it").held == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mask of signals")
@pytest.mark.usefixtures("finder")
def test_an_import_that_fails_lets_signals_through_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "package_that_is_held.py").write_text("raise ImportError('not today')\n")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(ImportError, match="not today"):
        importlib.import_module("package_that_is_held")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


@pytest.mark.usefixtures("finder")
def test_a_package_that_is_not_there_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("package_that_is_held")


def test_what_is_imported_already_needs_no_finder() -> None:
    before = list(sys.meta_path)
    HeldImport("sys").install()
    assert sys.meta_path == before
