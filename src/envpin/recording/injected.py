"""Reach the hook's own modules from here, so that the controller and the API describe files and arguments as it does.

The hook is no part of the package `envpin`: it lives in other interpreters, under the name `_envpin_hook`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.runs import RUN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

HOOK = Path(__file__).resolve().parent / "hook"


def recorder_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Of the variables of a recorded run those that carry the recorder into a child whose PYTHONPATH is taken away."""
    entries = env.get("PYTHONPATH", "").split(os.pathsep) if env.get(RUN_VARIABLE) else []
    found = [entry for entry in entries if entry and (Path(entry) / "_envpin_hook").is_dir()]
    return {"PYTHONPATH": found[0]} if found else {}


def hook(name: str = "") -> ModuleType:
    """The module `name` of the hook, or the hook itself."""
    if "_envpin_hook" not in sys.modules:
        folder = HOOK / "_envpin_hook"
        spec = importlib.util.spec_from_file_location(
            "_envpin_hook", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"`{folder}` is missing from this installation of envpin")
        package = importlib.util.module_from_spec(spec)
        sys.modules["_envpin_hook"] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"_envpin_hook.{name}" if name else "_envpin_hook")
