"""`matrix collect`: what every release of transformers, peft and torch says about itself, from the index alone.

A few members of each wheel are read by range request; nothing is downloaded whole, installed or run.
"""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envpin.core.eras import SETTLING_DAYS
from envpin.core.errors import InputError
from envpin.core.events import Note, Progress, Step, ignore
from envpin.core.files import digest
from envpin.core.sizes import counted
from envpin.evidence import wheel_facts
from envpin.matrix.support import PeftFacts, ReleaseFacts, Support, spans_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from envpin.core.events import Listener
    from envpin.remote.index import Index, Release, ReleaseFile

FIRST = Version("4.10.0")  # before it, the table is made of imported classes, not of names

_FIRST_TORCH = Version("1.8")
# What was made of a wheel is made again when the code that made it is another.
_REVISION = digest(Path(wheel_facts.__file__).read_bytes() + Path(__file__).read_bytes())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    release: Release
    model_types: frozenset[str]
    requires: dict[str, str]
    offered: frozenset[str]
    lazy: bool


def collect(index: Index, *, jobs: int = 8, listener: Listener = ignore) -> Support:
    """Read every release since 4.10. What was read before comes from the cache of `index`.

    Releases whose wheel cannot be read are left out with a warning; they are few, and none is worth losing the rest.

    Raises:
        NetworkError, InputError: the index itself does not answer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=SyntaxWarning)  # of the sources that are read, not of ours
        warnings.simplefilter("ignore", category=DeprecationWarning)
        return _collect(index, jobs, listener)


def _collect(index: Index, jobs: int, listener: Listener) -> Support:
    listener(Step(key="peft", title="read what each peft imports from transformers"))
    peft = _peft(index, jobs)
    names = sorted({name for facts in peft for name in facts.imports})
    listener(Step(key="peft", title="read what each peft imports", state="done", detail=counted(len(peft), "release")))
    wanted = [one for one in _stable(index.releases("transformers")) if Version(one.version) >= FIRST]
    title = f"read {counted(len(wanted), 'release')} of transformers"
    listener(Step(key="transformers", title=title))
    read: list[_Read] = []
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for at, facts in enumerate(pool.map(lambda one: _read(index, one, names), wanted), start=1):
            listener(Progress(key="transformers", done=at, total=len(wanted), unit="releases"))
            if isinstance(facts, _Read):
                read.append(facts)
            else:
                listener(Note(message=facts, level="warning"))
    listener(Step(key="transformers", title=title, state="done", detail=f"{len(read)} read"))
    return _assemble(read, peft, names, index.releases("torch"))


def _assemble(read: Sequence[_Read], peft: tuple[PeftFacts, ...], names: list[str], torch: list[Release]) -> Support:
    releases: list[ReleaseFacts] = []
    before: dict[str, str] = {}
    for one in read:
        gone = dict.fromkeys(before.keys() - one.requires.keys(), "")
        changed = {name: versions for name, versions in one.requires.items() if before.get(name) != versions}
        releases.append(
            ReleaseFacts(
                version=one.release.version, date=_day(one.release), yanked=one.release.yanked,
                requires=dict(sorted({**gone, **changed}.items())),
            )
        )  # fmt: skip
        before = one.requires
    every_type = sorted(set[str]().union(*(one.model_types for one in read)))
    offered = {name: spans_of(_presence(name, read)) for name in names}
    support = Support(
        transformers=tuple(releases),
        model_types={kind: spans_of([kind in one.model_types for one in read]) for kind in every_type},
        peft=peft,
        # a name that no release seems to have is one that reading text does not find; it proves nothing
        names={name: spans for name, spans in offered.items() if spans and spans != ((0, len(read) - 1),)},
        torch={
            one.version: _day(one) for one in _stable(torch) if not one.yanked and Version(one.version) >= _FIRST_TORCH
        },
    )
    return with_fitting(support)


def with_fitting(support: Support) -> Support:
    """The same, each release of transformers with the newest peft and torch of its third week that it declares to be
    right; where it asks for a peft that there never was, as some do, the newest that can be imported beside it."""
    found = []
    for release in support.transformers:
        day = (date.fromisoformat(release.date) + timedelta(days=SETTLING_DAYS)).isoformat() if release.date else ""
        declared = support.requirements(release.version)
        then = [one for one in support.peft if one.date < day and not one.yanked]
        importable = [one.version for one in then if not support.missing_names(one, release.version)]
        wanted = SpecifierSet(declared.get("peft", ""))
        peft = [version for version in importable if wanted.contains(version)] or importable
        window = SpecifierSet(declared.get("torch", ""))
        torch = [version for version, appeared in support.torch.items() if appeared < day and window.contains(version)]
        fitting = {**({"peft": peft[-1]} if peft else {}), **({"torch": torch[-1]} if torch else {})}
        found.append(release._replace(fitting=fitting))
    return Support(transformers=tuple(found), model_types=support.model_types, peft=support.peft, names=support.names,
                   torch=support.torch)  # fmt: skip


def _presence(name: str, read: Sequence[_Read]) -> list[bool]:
    """In which releases the name exists. What left the spelled-out table when the models became lazy is still there."""
    first_lazy = next((at for at, one in enumerate(read) if one.lazy), len(read))
    moved = (
        0 < first_lazy < len(read)
        and name.count(".") == 1
        and name in read[first_lazy - 1].offered
        and name not in read[first_lazy].offered
    )
    return [name in one.offered or (moved and one.lazy) for one in read]


def _read(index: Index, release: Release, names: Sequence[str]) -> _Read | str:
    wheel = release.wheel
    if wheel is None:
        return f"transformers {release.version} has no wheel"
    try:
        facts = index.remembered(wheel, f"{_REVISION} {names}", lambda: _facts(index, wheel, release.version, names))
    except (InputError, ValueError, SyntaxError) as error:
        return f"transformers {release.version} cannot be read: {error}"
    return _Read(
        release=release, model_types=frozenset(facts["model_types"]), requires=facts["requires"],
        offered=frozenset(facts["offered"]), lazy=facts["lazy"],
    )  # fmt: skip


def _facts(index: Index, wheel: ReleaseFile, version: str, names: Sequence[str]) -> dict[str, object]:
    """Raises: InputError, ValueError, SyntaxError: the wheel is not what one of transformers looks like."""
    metadata = f"transformers-{version}.dist-info/METADATA"
    members = {wheel_facts.CONFIGURATION, wheel_facts.MAPPINGS, wheel_facts.INTEGRATION, wheel_facts.OLD_INTEGRATION,
               wheel_facts.INIT, metadata}  # fmt: skip
    for name in names:
        members.update(wheel_facts.module_files(name))
    sources = index.members(wheel, sorted(members))
    requires = wheel_facts.requirements(sources.get(metadata, b""))
    floor = wheel_facts.minimal_peft(sources)
    if floor is not None:
        requires["peft"] = f">={floor}"
    return {
        "model_types": sorted(wheel_facts.model_types(sources)),
        "requires": requires,
        "offered": [name for name in names if wheel_facts.offers(name, sources)],
        "lazy": wheel_facts.lists_models_lazily(sources),
    }


def _peft(index: Index, jobs: int) -> tuple[PeftFacts, ...]:
    releases = [one for one in _stable(index.releases("peft")) if one.wheel is not None]

    def read(release: Release) -> PeftFacts:
        wheel = release.wheel
        assert wheel is not None  # noqa: S101  releases without one were left out above

        def imports() -> list[str]:
            names = [name for name in index.member_names(wheel) if name.startswith("peft/") and name.endswith(".py")]
            return sorted(wheel_facts.transformers_imports(index.members(wheel, names)))

        found = tuple(index.remembered(wheel, _REVISION, imports))
        return PeftFacts(version=release.version, date=_day(release), yanked=release.yanked, imports=found)

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return tuple(pool.map(read, releases))


def _stable(releases: Iterable[Release]) -> list[Release]:
    return [one for one in releases if not one.is_prerelease and one.files]


def _day(release: Release) -> str:
    return release.uploaded.date().isoformat() if release.uploaded else ""
