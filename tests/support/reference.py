"""The script that writes the reference, as a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

# Imported by the commands whose parsers are read; where no process may be started it cannot be imported any more.
import envpin.core.process  # noqa: F401
from tests.support.scripts import script

if TYPE_CHECKING:
    from types import ModuleType


def generator() -> ModuleType:
    return script("scripts/reference_pages.py")
