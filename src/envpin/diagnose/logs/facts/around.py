"""What releases of the libraries around the stack gave and took: names, modules, members and arguments. Pure but for
collected data.

`around.json` was read from wheels by `scripts/collect_around.py`, ten minor series of most packages, so that a change
is named by the two releases that were read on its sides. It is decoded package by package, as a log asks.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import msgspec

from envpin.diagnose.logs.facts.collected import read_collected

_Table = dict[str, dict[str, str]]


class _Package(msgspec.Struct, frozen=True):
    """`modules`, and by holder `names`, `members` (by classes, with a space between them) and `arguments`: the turns at
    which some came and went, as numbers among `releases`, and which. `places` is how many arguments may be given by
    place, where fewer are since a release; `now` where names and modules are that went."""

    roots: tuple[str, ...]
    releases: tuple[str, ...]
    modules: dict[str, str]
    names: _Table
    members: _Table
    arguments: _Table
    places: dict[str, str] = {}
    now: dict[str, str] = {}


class LibraryChange(NamedTuple):
    """A thing that releases of `package` gave or took. `has` are the first and last of those read that have it, `""`
    where it goes on that way; `before` is the last without it before them, and `after` the first without it again."""

    package: str
    before: str
    first: str
    last: str
    after: str

    @property
    def went(self) -> bool:
        return bool(self.after)


def package_of(root: str) -> str | None:
    """The package on the index that brings a module, where it was read."""
    return _roots().get(root)


def roots_of(package: str) -> tuple[str, ...]:
    return _tables(package).roots


def module_change(module: str) -> LibraryChange | None:
    """Which releases have a module, where some do not."""
    package = package_of(module.partition(".")[0])
    return None if package is None else _found(package, _tables(package).modules, module)


def name_change(module: str, name: str) -> LibraryChange | None:
    """Which releases have a name in a module, where some do not; a name may be a module of its own."""
    package = package_of(module.partition(".")[0])
    if package is None:
        return None
    own = _found(package, _tables(package).names.get(module, {}), name)
    if own is not None:
        return own
    below, above = module_change(f"{module}.{name}"), module_change(module)
    # where the module itself went, its name was looked for in a release that has the module
    return None if below is None or (above is not None and above.after == below.after != "") else below


def member_changes(holder: str, name: str) -> list[LibraryChange]:
    """Of each package that has a class of that name, which releases have the member, where some do not."""
    every = (
        (one, table) for one in _holding(holder) for holders, table in _tables(one).members.items()
        if holder in holders.split()
    )  # fmt: skip
    return [told for one, table in every if (told := _found(one, table, name)) is not None]


def argument_changes(called: str, name: str) -> list[LibraryChange]:
    """The same of an argument of a function, or of a method as `Class.method`."""
    every = ((one, _tables(one).arguments.get(called, {})) for one in _holding(called))
    return [told for one, table in every if (told := _found(one, table, name)) is not None]


def place_changes(called: str, given: int) -> list[LibraryChange]:
    """The same of so many arguments that are given by their place."""
    found = []
    for package in _holding(called):
        releases = _tables(package).releases
        for drop in _tables(package).places.get(called, "").split():
            at, _, counts = drop.partition(":")
            before, _, after = counts.partition(">")
            if int(after) < given <= int(before):
                found.append(LibraryChange(package, "", releases[0], releases[int(at) - 1], releases[int(at)]))
    return found


def home_of(package: str, name: str) -> str | None:
    """The module that has a name now, or is called so now, which a release took from where it was."""
    now, tail = _tables(package).now, ""
    while name not in now and "." in name:
        name, _, last = name.rpartition(".")
        tail = f".{last}{tail}"
    return f"{now[name]}{tail}" if name in now else None


def _found(package: str, table: dict[str, str], name: str) -> LibraryChange | None:
    stays = next((turns for turns, names in table.items() if name in names.split()), None)
    if stays is None:
        return None
    releases = _tables(package).releases
    # "" is before the first release that was read; an even number of turns ends with one that took it away
    turns = [int(one) if one else 0 for one in stays.split("/")]
    gone = len(turns) % 2 == 0
    first, after = (turns[-2], turns[-1]) if gone else (turns[-1], 0)
    return LibraryChange(
        package,
        releases[first - 1] if first else "",
        releases[first],
        releases[after - 1] if gone else releases[-1],
        releases[after] if gone else "",
    )


@cache
def _holding(name: str) -> tuple[str, ...]:
    """The packages whose tables have a holder of that name: looked for in the text, which is quicker than decoding."""
    wanted = [f"{before}{name}{after}".encode() for before in '" ' for after in '" ']
    texts = ((package, bytes(raw)) for package, raw in _raw().items())
    return tuple(package for package, text in texts if any(one in text for one in wanted))


@cache
def _tables(package: str) -> _Package:
    return msgspec.json.decode(_raw()[package], type=_Package)


@cache
def _roots() -> dict[str, str]:
    every = ((package, msgspec.json.decode(raw, type=_Roots).roots) for package, raw in _raw().items())
    return {root: package for package, roots in every for root in roots}


class _Roots(msgspec.Struct, frozen=True):
    roots: tuple[str, ...]


@cache
def _raw() -> dict[str, msgspec.Raw]:
    document = read_collected("around.json", dict[str, msgspec.Raw], most=4_000_000)
    return {package: raw for package, raw in document.items() if package != "schema"}
