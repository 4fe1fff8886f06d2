"""Source files as syntax, each parsed and walked once for all tests that look at it."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a file, as `ast.walk` gives them."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
