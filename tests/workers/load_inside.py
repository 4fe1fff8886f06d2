"""What the scripts that run inside an environment load by path: they find it in their own folder. Python 3.8 syntax."""

import importlib.util
import os
import sys
from typing import Any


def load(name: str, path: str, *, package: bool = False) -> Any:
    """The module in a file, or the package whose `__init__.py` it is, under this name."""
    spec = importlib.util.spec_from_file_location(
        name, path, submodule_search_locations=[os.path.dirname(path)] if package else None
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load_workers(folder: str) -> Any:
    """envpin's workers, as the package that they are inside an environment."""
    return load("envpin_worker", os.path.join(folder, "__init__.py"), package=True)
