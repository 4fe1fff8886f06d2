"""What some models of a family need that others do not, by the fields of their config. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envpin.matrix.names import name_match
from envpin.matrix.nearest import era_pins
from envpin.matrix.signs import holds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from envpin.matrix.nearest import Pins
    from envpin.matrix.support import Support
    from envpin.matrix.types import Break, Condition, Family


class Need(NamedTuple):
    """Versions of a package that this model needs, and why."""

    package: str
    versions: str
    reason: str


def held_conditions(family: Family, config: Mapping[str, object] | None, name: str | None) -> list[Condition]:
    """The conditions of the family that this model meets: by its config, or by its name where there is no config."""
    if config is None:
        return [one for one in family.conditions if name_match(one, name)]
    return [one for one in family.conditions if all(holds(sign, config) for sign in one.when)]


def needs_of(family: Family, held: Iterable[Condition]) -> tuple[Need, ...]:
    """The requirements of the family, and of the conditions that hold."""
    own = [Need(package, one.versions, one.reason) for package, one in family.requires.items()]
    return (*own, *(Need(one.package, one.versions, one.reason) for one in held))


def pins_within(
    family: Family, needs: Sequence[Need], support: Support | None, breaks: Mapping[str, Break]
) -> Pins | None:
    """The first known-good set that meets every need, else what fits the settled first release that does: of those
    after the first known-good set, and only then of those before it, as a hole in between asks for no older one."""
    from packaging.specifiers import SpecifierSet

    bounds = [(one.package, SpecifierSet(one.versions)) for one in needs]

    def fits(packages: Mapping[str, str]) -> bool:
        return all(package not in packages or bound.contains(packages[package]) for package, bound in bounds)

    for good in family.known_good:
        if fits(good.packages):
            return dict(good.packages), good.python, good.exclude_newer
    if support is None:
        return None
    first = family.known_good[0].packages.get("transformers", "") if family.known_good else ""
    at = support.positions.get(first, 0)
    for release in (*support.transformers[at:], *support.transformers[:at]):
        if not release.yanked and fits({"transformers": release.version}):
            settled = support.settled(release.version)
            return era_pins(settled if fits({"transformers": settled}) else release.version, support, breaks)
    return None
