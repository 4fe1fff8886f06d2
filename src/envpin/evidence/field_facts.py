"""Which fields the dataclasses in a wheel have, with their defaults: read as syntax, never imported. Pure."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from envpin.evidence.parsing import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A default that only running the class would tell (a factory, an expression, another module's constant).
COMPUTED = "…"
# A field without a default.
REQUIRED = "required"


@dataclass(frozen=True, kw_only=True, slots=True)
class Class:
    """A class as its source shows it.

    `fields` maps each annotated field, its own and in order, to its default as JSON-like source; `kinds` are the
    members of PeftType that it gives itself; `dropped` are the keys that its `to_dict` leaves out.
    """

    name: str
    bases: tuple[str, ...]
    fields: Mapping[str, str]
    kinds: tuple[str, ...] = ()
    dropped: frozenset[str] = frozenset()


@dataclass
class Classes:
    """Every class of a wheel, by name, and what each has with all that it inherits."""

    found: dict[str, Class] = field(default_factory=dict)

    def fields(self, name: str) -> dict[str, str]:
        """Every field of a class, inherited ones included, without those that it does not save."""
        merged: dict[str, str] = {}
        for one in reversed(list(self._lineage(name))):
            merged.update(one.fields)
        dropped = frozenset[str]().union(*(one.dropped for one in self._lineage(name)))
        return {key: default for key, default in merged.items() if key not in dropped}

    def _lineage(self, name: str, depth: int = 0) -> Iterator[Class]:
        one = self.found.get(name)
        if one is None or depth > 20:
            return
        yield one
        for base in one.bases:
            yield from self._lineage(base, depth + 1)


def read_classes(sources: Mapping[str, bytes]) -> Classes:
    """The classes at the top level of some modules. A file that is no Python of today is left out."""
    found: dict[str, Class] = {}
    for _path, source in sorted(sources.items()):
        try:
            tree = parse(source)
        except (SyntaxError, ValueError):
            continue
        for node in _statements(tree.body):
            if isinstance(node, ast.ClassDef):
                one = _class(node)
                # A name that stands twice (a stub for a missing dependency beside the class) is the larger one.
                if node.name not in found or len(one.fields) > len(found[node.name].fields):
                    found[node.name] = one
    return Classes(found)


def class_names(source: bytes) -> frozenset[str]:
    """The names of the classes at the top level of a module.

    Raises:
        SyntaxError, ValueError: it is no Python of today.
    """
    return frozenset(node.name for node in _statements(parse(source).body) if isinstance(node, ast.ClassDef))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of a module, and those under an `if` or `try` at its top level."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _statements(node.body)


def _class(node: ast.ClassDef) -> Class:
    fields: dict[str, str] = {}
    kinds: list[str] = []
    dropped: set[str] = set()
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            if "ClassVar" not in ast.unparse(part.annotation):
                fields[part.target.id] = _default(part.value)
        elif isinstance(part, ast.FunctionDef) and part.name in {"__post_init__", "__init__"}:
            kinds += _own_kinds(part)
        elif isinstance(part, ast.FunctionDef) and part.name == "to_dict":
            dropped.update(_popped(part))
    bases = tuple(name for base in node.bases if (name := _last_name(base)) is not None)
    return Class(name=node.name, bases=bases, fields=fields, kinds=tuple(kinds), dropped=frozenset(dropped))


def _last_name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _default(value: ast.expr | None) -> str:
    if value is None:
        return REQUIRED
    if isinstance(value, ast.Constant):
        return _constant(value)
    if isinstance(value, ast.UnaryOp) and isinstance(value.operand, ast.Constant):
        return ast.unparse(value)
    is_field = isinstance(value, ast.Call) and _last_name(value.func) == "field"
    return _default_of_field(value.keywords) if isinstance(value, ast.Call) and is_field else COMPUTED


def _default_of_field(keywords: list[ast.keyword]) -> str:
    """`field(default=…)` and `field(default_factory=…)`."""
    for keyword in keywords:
        if keyword.arg == "default":
            return _default(keyword.value)
        if keyword.arg == "default_factory":
            return {"dict": "{}", "list": "[]"}.get(ast.unparse(keyword.value), COMPUTED)
    return REQUIRED


def _constant(node: ast.Constant) -> str:
    """As JSON writes it, so that it compares with what a file holds."""
    import json

    try:
        return json.dumps(node.value)
    except TypeError:  # `...`, bytes, complex
        return COMPUTED


def _own_kinds(function: ast.FunctionDef) -> Iterator[str]:
    """`self.peft_type = PeftType.LORA`."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
            targets = [one.attr for one in node.targets if isinstance(one, ast.Attribute)]
            if "peft_type" in targets and _last_name(node.value.value) == "PeftType":
                yield node.value.attr


def _popped(function: ast.FunctionDef) -> Iterator[str]:
    """`rv.pop("runtime_config")` and `del rv["runtime_config"]`."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "pop":
            parts: list[ast.expr] = list(node.args[:1])
        elif isinstance(node, ast.Delete):
            parts = [one.slice for one in node.targets if isinstance(one, ast.Subscript)]
        else:
            continue
        yield from (one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str))
