"""Writes what `add` decided into the text of a matrix, which keeps its comments, its order and its layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from envpin.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tomlkit.items import Array, Table

    from envpin.evidence.add import Additions
    from envpin.matrix.types import Break, KnownGood, Statement

# Characters of a line of TOML, after which an array is written one item a line.
_LONG = 100


def edited(text: str, additions: Additions, *, borrow_from: str | None = None, source: str = "the matrix") -> str:
    """`text` with the additions in it. A family that `text` lacks is copied from `borrow_from` first.

    Raises:
        InputError: `text` is not TOML.
    """
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise InputError(f"`{source}` is not TOML: {error}", path=source) from error
    if "schema" not in document:
        document.add("schema", 1)
    wanted = dict.fromkeys(
        [
            *(one.family for one in additions.raised),
            *additions.tuples,
            *additions.statements,
            *(name for name, _ in additions.links),
            *(one.family for one in additions.conditions),
            *additions.computed.families,
        ]
    )
    families = _table(document, "families") if wanted else {}
    lender = tomlkit.parse(borrow_from) if borrow_from is not None else None
    for name in wanted:
        if name not in families and lender is not None:
            families[name] = lender["families"][name]
    for raised in additions.raised:
        good = families[raised.family]["known_good"][raised.index]
        good["grade"] = raised.grade
        good["evidence"] = _array(raised.evidence)
    for proved in additions.conditions:
        condition = families[proved.family]["conditions"][proved.index]
        condition["grade"] = proved.grade
        condition["evidence"] = _array(proved.evidence)
    for name, good in additions.tuples.items():
        # In front: the recommended versions are those that were run.
        families[name]["known_good"].insert(0, _known_good(good))
    for name, statements in additions.statements.items():
        families[name]["support"] = _tables(statements)
    if additions.breaks:
        breaks = _table(document, "breaks")
        for key, entry in additions.breaks.items():
            breaks[key] = _break(entry)
    _recompute(document, additions, families)
    if additions.attached:
        _attach(document, additions, lender)
    for name, key in additions.links:
        families[name]["breaks"] = _array([*families[name].get("breaks", ()), key])
    return tomlkit.dumps(document)


def _recompute(document: tomlkit.TOMLDocument, additions: Additions, families: Any) -> None:
    """The breaks that runs give, as they are now."""
    computed = additions.computed
    if computed.breaks or computed.gone:
        breaks = _table(document, "breaks")
        for key in (*computed.gone, *computed.breaks):
            if key in breaks:
                del breaks[key]
        for key, entry in computed.breaks.items():
            breaks[key] = _break(entry)
    for name, keys in computed.families.items():
        if keys:
            families[name]["breaks"] = _array(keys)
        elif "breaks" in families[name]:
            del families[name]["breaks"]


def _attach(document: tomlkit.TOMLDocument, additions: Additions, lender: tomlkit.TOMLDocument | None) -> None:
    breaks = _table(document, "breaks")
    for attached in additions.attached:
        if attached.name not in breaks and lender is not None:
            breaks[attached.name] = lender["breaks"][attached.name]
        breaks[attached.name]["grade"] = attached.grade
        breaks[attached.name]["evidence"] = _array(attached.evidence)


def _known_good(good: KnownGood) -> Table:
    table = tomlkit.table()
    table.add("python", good.python)
    packages = tomlkit.inline_table()
    packages.update(good.packages)
    table.add("packages", packages)
    for key in ("exclude_newer", "source", "grade"):
        table.add(key, getattr(good, key))
    table.add("evidence", _array(good.evidence))
    table.add(tomlkit.nl())
    return table


def _table(document: tomlkit.TOMLDocument, name: str) -> Any:
    if name not in document:
        document.add(name, tomlkit.table(is_super_table=True))
    return document[name]


def _tables(statements: Iterable[Statement]) -> Array:
    """One statement a line: they are written by machine, and there are many."""
    array = tomlkit.array()
    for statement in statements:
        table = tomlkit.inline_table()
        for key, value in msgspec.to_builtins(statement).items():
            table.add(key, list(value) if isinstance(value, list | tuple) else value)
        array.append(table)
    array.multiline(True)
    return array


def _break(entry: Break) -> Table:
    table = tomlkit.table()
    for key, value in msgspec.to_builtins(entry).items():
        if key != "id" and value not in (None, [], ()):
            table.add(key, _array(value) if isinstance(value, list | tuple) else value)
    table.add(tomlkit.nl())
    return table


def _array(values: Iterable[str]) -> Array:
    array = tomlkit.array()
    array.extend(values)
    array.multiline(len(str(array.as_string())) > _LONG)
    return array
