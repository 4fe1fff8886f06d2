"""What a way out of a break says in versions: read from its sentence, so that runs can support or contradict it. Pure.

`merge on transformers <= 4.51.3`, `peft >= 0.16 with transformers 4.52 to 5.3` and `transformers 5.23.0` name versions;
`the config.json of the original model` names none, and no run can speak of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLAUSE = re.compile(
    r"\b(transformers|peft|torch) (?:(<=|>=|==|<|>|!=) ?)?(\d+(?:\.\d+)*)(?: (?:to|and) (\d+(?:\.\d+)*|later))?"
)


def read_way(text: str) -> dict[str, SpecifierSet]:
    """Package to the versions that the sentence names; empty where it names none.

    A version of two parts without an operator is its whole series: `4.57` is all of 4.57, `4.52 to 5.3` ends in 5.3.
    """
    found: dict[str, SpecifierSet] = {}
    for package, operator, version, until in _CLAUSE.findall(text):
        found[package] = _versions(operator, version, until)
    return found


def fits_way(way: Mapping[str, SpecifierSet], packages: Mapping[str, str]) -> bool:
    """Whether an environment is one that the way out names."""
    return bool(way) and all(
        name in packages and versions.contains(packages[name], prereleases=True) for name, versions in way.items()
    )


def _versions(operator: str, version: str, until: str) -> SpecifierSet:
    if operator:
        return SpecifierSet(f"{operator}{version}")
    if until == "later":
        return SpecifierSet(f">={version}")
    if until:
        return SpecifierSet(f">={version}") & _up_to(until)
    return SpecifierSet(f"=={version}.*" if version.count(".") < 2 else f"=={version}")


def _up_to(version: str) -> SpecifierSet:
    parts = [int(part) for part in version.split(".")]
    if len(parts) > 2:
        return SpecifierSet(f"<={version}")
    return SpecifierSet(f"<{'.'.join(map(str, [*parts[:-1], parts[-1] + 1]))}")
