"""Python source as a tree, from several threads."""

from __future__ import annotations

import ast
import threading

# CPython 3.11 counts the depth of a tree under construction per interpreter, not per thread: two threads that parse at
# once can end in `SystemError: AST constructor recursion depth mismatch`.
_ONE_AT_A_TIME = threading.Lock()


def parse(source: str | bytes) -> ast.Module:
    """As `ast.parse`, which raises SyntaxError or ValueError for what is no source."""
    with _ONE_AT_A_TIME:
        return ast.parse(source)
