"""Versions for a model that the matrix does not list: from its own config and from what the index knows. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.eras import SETTLING_DAYS, python_of
from envpin.matrix.signs import release_of, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envpin.matrix.support import Support
    from envpin.matrix.types import Break, Matrix

Pins = tuple[dict[str, str], str, str]  # packages and their versions, the Python, the day that nothing is newer than


def own_release(kind: str, own: str | None, support: Support | None) -> tuple[str | None, list[str]]:
    """The release of transformers to try for a type, and why: the config's own where it knows the type, else the
    settled patch of the first that does, else the newest, else nothing."""
    plain = _release_named(own)
    if support is None:
        return plain, []
    window = support.window(kind)
    if window is None:
        if plain is not None and plain in support.positions:
            return plain, [f"no release up to {support.newest()} knows the type: it brings its own code, or is newer"]
        return (support.newest() if own else None), [f"no release up to {support.newest()} knows this type"]
    first, last = window
    until = f" to {last}" if last else ""
    why = [f"transformers {first}{until or ' and later'} knows the type"]
    if plain is not None and support.knows(plain, kind):
        return support.settled(plain), why
    if own is not None and (release_of(own) or ()) > (release_of(support.newest()) or ()):
        return (last or support.newest()), [*why, f"{shorten(own)} is newer than what was collected"]
    return support.settled(first), why


def era_pins(release: str, support: Support | None, breaks: Mapping[str, Break] | None = None) -> Pins | None:
    """Pins, Python and date for a release of transformers: what fitted it three weeks after it appeared; a peft that
    one of `breaks` names alongside that release gives way to the next."""
    from datetime import date, timedelta

    day = support.date(release) if support else None
    if support is None or not day:
        return None
    settled = (date.fromisoformat(day) + timedelta(days=SETTLING_DAYS)).isoformat()
    newer = max(day, min(settled, support.collected))  # never a day of which nothing is known yet
    pins = {"transformers": release, **support.fitting(release)}
    known = [one for one in (breaks or {}).values() if one.alongside]
    if known and "peft" in pins:
        pins["peft"], newer = _unbroken_peft(pins, newer, support, known)
    return pins, python_of(newer), newer


def _unbroken_peft(pins: Mapping[str, str], newer: str, support: Support, breaks: Sequence[Break]) -> tuple[str, str]:
    """The peft of `pins`, or the first after it that none of `breaks` names, and the day that it needs."""
    own = pins["peft"]
    if not any(_is_inside(pins, one) for one in breaks):
        return own, newer
    versions = [one.version for one in support.peft]
    for later in support.peft[versions.index(own) + 1 :] if own in versions else ():
        if not later.yanked and not any(_is_inside({**pins, "peft": later.version}, one) for one in breaks):
            return later.version, max(newer, later.date)
    return own, newer


def _is_inside(pins: Mapping[str, str], known: Break) -> bool:
    from packaging.specifiers import SpecifierSet

    spans = {known.package: known.versions, **known.alongside}
    return all(name in pins and SpecifierSet(versions).contains(pins[name]) for name, versions in spans.items())


def oldest_day(matrix: Matrix) -> str:
    """The day of the oldest known-good set of the matrix."""
    return min((good.exclude_newer for one in matrix.families.values() for good in one.known_good), default="")


def proved_pins(kind: str, matrix: Matrix, support: Support) -> Pins | None:
    """Pins, Python and date of the oldest known-good set of the matrix whose transformers knows the type."""
    sets = sorted(
        (good for family in matrix.families.values() for good in family.known_good), key=lambda good: good.exclude_newer
    )
    for good in sets:
        if support.knows(good.packages.get("transformers", ""), kind):
            return dict(good.packages), good.python, good.exclude_newer
    return None


def _release_named(own: str | None) -> str | None:
    """`4.21.0.dev0` and `4.21.0` are both `4.21.0`: a development version becomes the release of its number."""
    parts = release_of(own)
    if parts is None or not 2 <= len(parts) <= 3:
        return None
    return ".".join(map(str, (*parts, 0)[:3]))
