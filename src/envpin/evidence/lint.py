"""`matrix lint`: is what the matrix says consistent, with itself and with what the index tells? Pure.

Every problem is one line that starts with its place in compat_matrix.toml. `lint_online` is what needs a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envpin.evidence.computed import recomputed
from envpin.evidence.intervals import contradicting_intervals
from envpin.evidence.proof import break_proof, family_proof
from envpin.evidence.refuted import refuted_statements
from envpin.matrix.convert import join

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.support import Support
    from envpin.matrix.types import Family, KnownGood, Matrix, Relation


def lint(
    matrix: Matrix,
    support: Support,
    *,
    locks: Mapping[str, bytes],
    evidence: Mapping[str, EvidenceRun],
    today: str | None = None,
) -> list[str]:
    """Every contradiction. `locks` are the committed locks by stem, `evidence` the committed results by id."""
    found: list[str] = []
    for family in matrix.families.values():
        at = join("families", family.id)
        found += _requirements(family, support, at)
        for index, good in enumerate(family.known_good):
            found += _known_good(family, good, matrix, support, f"{at}.known_good[{index}]")
        found += family_proof(family, locks=locks, evidence=evidence, today=today)
    for index, relation in enumerate(matrix.relations):
        found += _relation(relation, support, f"relations[{index}]")
    found += _imports(matrix, support)
    found += contradicting_intervals(matrix)
    for entry in matrix.breaks.values():
        found += break_proof(entry, evidence=evidence)
    found += refuted_statements(matrix, evidence)
    computed = recomputed(matrix, evidence.values(), support)
    found += [f"{join('breaks', key)}: is not what the runs give; verify --update writes it" for key in computed.breaks]
    found += [f"{join('breaks', key)}: no run gives it any more; verify --update removes it" for key in computed.gone]
    found += [f"{join('families', name)}.breaks: are not those that the runs give; verify --update writes them"
              for name in computed.families]  # fmt: skip
    return found


def distinct_pins(matrix: Matrix) -> dict[tuple[str, str, tuple[str, ...]], list[str]]:
    """(Python, date, requirement lines) of every known-good tuple, with the families that share it."""
    found: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for family in matrix.families.values():
        for good in family.known_good:
            lines = tuple(f"{package}=={version}" for package, version in sorted(good.packages.items()))
            found.setdefault((good.python, good.exclude_newer, lines), []).append(family.id)
    return found


def _requirements(family: Family, support: Support, at: str) -> Iterator[str]:
    """A floor that is called `static` is the first release whose table has the type, no other."""
    requirement = family.requires.get("transformers")
    windows = [window for kind in family.match.model_type if (window := support.window(kind))]
    if requirement is None:
        if family.kind == "native":
            yield f"{at}.requires: a native family says which transformers it needs"
        return
    if not windows:
        yield f"{at}.match.model_type: no release of transformers knows {', '.join(family.match.model_type)}"
        return
    first = min((window[0] for window in windows), key=Version)
    allowed = SpecifierSet(requirement.versions)
    early = [one.version for one in support.transformers
             if Version(one.version) < Version(first) and allowed.contains(one.version)]  # fmt: skip
    if early:
        yield f"{at}.requires.transformers: allows {early[-1]}, but {first} is the first that knows the type"
    if requirement.grade == "static" and requirement.versions != f">={first}":
        yield f"{at}.requires.transformers: is graded static, and the wheels say >={first}"


def _known_good(family: Family, good: KnownGood, matrix: Matrix, support: Support, at: str) -> Iterator[str]:
    yield from _existing(good, support, at)
    for package, requirement in family.requires.items():
        version = good.packages.get(package)
        if version is not None and not SpecifierSet(requirement.versions).contains(version):
            yield f"{at}.packages.{package}: {version} breaks the family's own {requirement.versions}"
    for relation in matrix.relations:
        yield from _breaks_relation(good, relation, at)
    release = good.packages.get("transformers")
    if release is None:
        return
    unknown = [kind for kind in family.match.model_type if support.knows(release, kind) is False]
    if family.kind == "native" and len(unknown) == len(family.match.model_type):
        yield f"{at}.packages.transformers: {release} does not know {', '.join(unknown)}"
    declared = {**support.requirements(release)}
    for package, versions in declared.items():
        version = good.python if package == "python" else good.packages.get(package)
        if version is not None and not SpecifierSet(versions).contains(_full(version)):
            yield f"{at}.packages.{package}: transformers {release} declares {versions}, not {version}"


def _existing(good: KnownGood, support: Support, at: str) -> Iterator[str]:
    known: dict[str, dict[str, tuple[str, bool]]] = {
        "transformers": {one.version: (one.date, one.yanked) for one in support.transformers},
        "peft": {one.version: (one.date, one.yanked) for one in support.peft},
        "torch": {version: (date, False) for version, date in support.torch.items()},
    }
    for package, version in good.packages.items():
        if package not in known:
            continue
        facts = known[package].get(version)
        if facts is None:
            yield f"{at}.packages.{package}: {version} is not a release of {package}"
        elif facts[1]:
            yield f"{at}.packages.{package}: {version} was yanked"
        elif facts[0] > good.exclude_newer:
            yield f"{at}.packages.{package}: {version} is of {facts[0]}, after exclude_newer {good.exclude_newer}"
    release, own = good.packages.get("peft"), good.packages.get("transformers")
    peft = next((one for one in support.peft if one.version == release), None)
    if peft is not None and own is not None:
        for name in support.missing_names(peft, own):
            yield f"{at}.packages.peft: {release} imports {name}, which transformers {own} does not have"


def _breaks_relation(good: KnownGood, relation: Relation, at: str) -> Iterator[str]:
    versions = {"python": good.python, **good.packages}
    one, other = versions.get(relation.package), versions.get(relation.other)
    if one is None or other is None or not SpecifierSet(relation.versions).contains(_full(one)):
        return
    if not SpecifierSet(relation.needs).contains(_full(other)):
        yield (
            f"{at}.packages: {relation.package} {one} needs {relation.other} {relation.needs}, not {other}: "
            f"{relation.reason}"
        )


def _imports(matrix: Matrix, support: Support) -> Iterator[str]:
    """What the relations of peft allow, taken together, must be what its wheels can be imported beside."""
    relations = [one for one in matrix.relations if (one.package, one.other) == ("peft", "transformers")]
    for peft in support.peft:
        bounds = [SpecifierSet(one.needs) for one in relations if SpecifierSet(one.versions).contains(peft.version)]
        for release in support.transformers if bounds else ():
            if all(bound.contains(release.version) for bound in bounds):
                missing = support.missing_names(peft, release.version)
                if missing:
                    yield (
                        f"relations: allow peft {peft.version} with transformers {release.version}, "
                        f"which does not have {missing[0]}"
                    )
                    break


def _relation(relation: Relation, support: Support, at: str) -> Iterator[str]:
    """A relation that is graded `static` says what the wheels declare."""
    if relation.package != "transformers" or relation.grade != "static":
        return
    versions, needs = SpecifierSet(relation.versions), SpecifierSet(relation.needs)
    floors = [bound.version for bound in needs if bound.operator == ">="]
    for release in support.transformers:
        if not versions.contains(release.version) or release.yanked:
            continue
        declared = support.requirements(release.version).get(relation.other)
        if declared is None:
            yield f"{at}.needs: transformers {release.version} declares nothing about {relation.other}"
            return
        if any(Version(floor) not in SpecifierSet(declared) and not _above(declared, floor) for floor in floors):
            yield (
                f"{at}.needs: transformers {release.version} declares {relation.other} {declared}, not {relation.needs}"
            )
            return


def _above(declared: str, floor: str) -> bool:
    """Whether the declared window begins above the floor; then the floor is only too mild."""
    begins = [Version(bound.version) for bound in SpecifierSet(declared) if bound.operator == ">="]
    return bool(begins) and max(begins) > Version(floor)


def _full(version: str) -> str:
    """`3.11` as 3.11.0, so that a specifier with a patch level can be asked about a Python minor."""
    return version if version.count(".") != 1 else f"{version}.0"
