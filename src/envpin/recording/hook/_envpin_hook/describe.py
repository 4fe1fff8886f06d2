"""Describe an interpreter that is not being recorded: `envpin record --attach` runs this in it. Imports no package."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from typing import Dict, Optional

from _envpin_hook import conda, surroundings

PACKAGES = ("torch", "transformers", "peft")


def describe() -> Dict[str, object]:
    """What a manifest says of the interpreter, and when the packages of a merge were installed into it."""
    installed: Dict[str, float] = {}
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            # When uv or pip put it there; the file itself keeps the time it has in the wheel.
            installed[name] = os.stat(os.path.dirname(spec.origin)).st_ctime
    return {
        "python": surroundings.python(),
        "distributions": surroundings.distributions(),
        "conda": conda.packages(),
        "torch": _torch(),
        "installed": installed,
    }


def _torch() -> Optional[Dict[str, object]]:
    """From torch's own version file: importing torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.origin:
        return None
    path = os.path.join(os.path.dirname(spec.origin), "version.py")
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    found: Dict[str, object] = {}
    for key, name in (("version", "__version__"), ("cuda", "cuda"), ("hip", "hip")):
        matched = re.search(r"^%s\b[^=\n]*=\s*['\"]([^'\"]+)" % re.escape(name), text, re.MULTILINE)
        if matched is not None:
            found[key] = matched.group(1)
    return found


def main() -> None:
    sys.stdout.write(json.dumps(describe()))
