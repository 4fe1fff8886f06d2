"""A script of the repository as a module, for tests of what it writes."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

from tests.support.places import ROOT

if TYPE_CHECKING:
    from types import ModuleType


def script(path: str) -> ModuleType:
    """The module at `path` below the repository, run anew."""
    name = path.rpartition("/")[2].removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses ask for the module of their annotations
    spec.loader.exec_module(module)
    return module
