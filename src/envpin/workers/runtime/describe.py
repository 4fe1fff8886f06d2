"""Verb `describe`: what this environment is, as its own interpreter sees it."""

import platform
import sys
from typing import Any, Dict

from ..protocol import Events


def run(request: Dict[str, Any], events: Events) -> Dict[str, Any]:
    """Versions as the modules themselves say them; importing them is the proof that they work together."""
    found: Dict[str, Any] = {"python": platform.python_version(), "executable": sys.executable, "modules": {}}
    for name in request.get("modules", ["torch", "transformers", "peft"]):
        try:
            module = __import__(name)
        except Exception as error:  # an import that fails is the answer here, whatever it raises
            found["modules"][name] = {"error": "%s: %s" % (type(error).__name__, error)}
        else:
            found["modules"][name] = {"version": getattr(module, "__version__", None)}
    return found
