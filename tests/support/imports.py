"""Who imports whom in src/envpin: the graph that the tests of its structure read."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

from tests.support.places import SOURCE
from tests.support.syntax import nodes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WORKERS = "envpin.workers"  # their folder is on their path: `protocol` is a module there


def module_name(path: Path) -> str:
    """`envpin.core.errors` for its file; that of the folder for an `__init__.py`."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(("envpin", *(parts[:-1] if parts[-1] == "__init__" else parts)))


@cache
def modules() -> dict[str, Path]:
    """Every module of the tree by its dotted name, workers, hook and scripts included."""
    return {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


@cache
def names_imported(path: Path) -> frozenset[str]:
    """Dotted names that a file imports anywhere: at its top, in functions, for types alone. `from a import b` gives
    `a` and `a.b`, because only the tree tells whether b is a module; relative names keep their leading dots."""
    return frozenset(name for choice in _choices(path) for name in choice)


@cache
def import_graph() -> dict[str, frozenset[str]]:
    """Module to the modules of the tree that it imports."""
    graph: dict[str, frozenset[str]] = {}
    for own, path in modules().items():
        found = (next((one for name in choice if (one := _module(own, name))), own) for choice in _choices(path))
        graph[own] = frozenset(found) - {own}
    return graph


def _choices(path: Path) -> Iterator[tuple[str, ...]]:
    """What each imported name may stand for, the likelier first: the module `a.b`, else something of the module `a`."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((alias.name,) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            yield from ((f"{source}{'.' if node.module else ''}{alias.name}", source) for alias in node.names)


def _module(own: str, name: str) -> str | None:
    """The module of the tree that `own` means by `name`."""
    plain = name.lstrip(".")
    if level := len(name) - len(plain):
        pieces = own.split(".")
        folder = pieces[: len(pieces) - level + (modules()[own].name == "__init__.py")]
        name = ".".join([*folder, *([plain] if plain else [])])
    if name in modules():
        return name
    beside = f"{_WORKERS}.{name}"
    return beside if own.startswith(_WORKERS) and beside in modules() else None


def circles(graph: dict[str, frozenset[str]]) -> set[frozenset[str]]:
    """The strongly connected components with more than one module (Tarjan, SIAM J. Comput. 1(2), 1972)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: set[frozenset[str]] = set()

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for target in graph[node]:
            if target not in number:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], number[target])
        if low[node] == number[node]:
            component = frozenset(stack[stack.index(node) :])
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.add(component)

    for node in graph:
        if node not in number:
            visit(node)
    return found
