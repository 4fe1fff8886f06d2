"""Requirements as text: which ones are let through, and which of them name one version. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_requirements(requirements: Iterable[str]) -> tuple[str, ...]:
    """The requirements in canonical form; nothing but names, extras, version specifiers and markers is let through.

    Raises:
        InputError: with every problem found.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    problems: list[str] = []
    checked: list[str] = []
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as fault:
            problems.append(f"`{text}`: {str(fault).splitlines()[0].lower()}")
            continue
        if requirement.url is not None:
            problems.append(f"`{text}`: a URL; only versions from an index are installed")
        checked.append(str(requirement))
    if problems or not checked:
        raise InputError("these are not requirements:", problems=problems or ["there is none"])
    return tuple(checked)


def exact_pins(requirements: Iterable[str]) -> dict[str, str]:
    """Normalized name to version, of the requirements that let one version through only (`==`, without `.*`)."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    for text in requirements:
        requirement = Requirement(text)
        for one in requirement.specifier:
            if one.operator == "==" and not one.version.endswith(".*"):
                found[str(canonicalize_name(requirement.name))] = one.version
    return found
