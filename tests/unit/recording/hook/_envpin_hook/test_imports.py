"""Modules are wrapped whenever they are imported."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from envpin.recording.injected import hook

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    import pytest

imports, wrapping, surroundings = hook("imports"), hook("wrapping"), hook("surroundings")


def test_a_module_that_is_imported_once_more_or_reloaded_is_wrapped_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "watched_library.py").write_text("def save(): return 'saved'\n")
    wrapped: list[ModuleType] = []
    monkeypatch.setattr(wrapping, "wrap_watched", wrapped.append, raising=False)
    monkeypatch.setattr(imports, "TARGETS", {"watched_library": "wrap_watched"})
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    imports.watch()
    first = importlib.import_module("watched_library")
    monkeypatch.delitem(sys.modules, "watched_library")
    second = importlib.import_module("watched_library")
    importlib.reload(second)
    monkeypatch.delitem(sys.modules, "watched_library")
    assert wrapped == [first, second, second]


def test_the_rank_is_that_of_torch_where_no_variable_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert surroundings.rank() == 0

    class Distributed:
        is_available = is_initialized = staticmethod(lambda: True)
        get_rank = staticmethod(lambda: 1)

    monkeypatch.setattr(surroundings, "module", {"torch.distributed": Distributed}.get)
    assert surroundings.rank() == 1
