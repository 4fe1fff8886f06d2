"""The script that writes the reference, as a module."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

# Imported by the commands whose parsers are read; where no process may be started it cannot be imported any more.
import envpin.core.process  # noqa: F401
from tests.support.places import ROOT

if TYPE_CHECKING:
    from types import ModuleType


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_pages", ROOT / "scripts" / "reference_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
