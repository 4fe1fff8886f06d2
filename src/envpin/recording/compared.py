"""An environment against what a folder says of versions: each signal by the strength that `infer` gives it.

A hard signal that the environment contradicts refutes it. A strong one, which a copy or another program may have
written, and a list of packages are doubts, named by signal, file and version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envpin.core.versions import same_release
from envpin.inference.combine import Signal
from envpin.inference.infer import ranges_of
from envpin.inference.observe import observe
from envpin.inference.pythons import PYTHON, PYTHONS, series_of
from envpin.inference.rules_run import family_signals, ran_own_code
from envpin.inference.statements import card_statements
from envpin.inference.trainers import recognise
from envpin.inference.versions import known_releases
from envpin.matrix.load import load_matrix
from envpin.matrix.match import match
from envpin.matrix.support import load_support

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.inference.observe import Observed
    from envpin.inference.versions import Known


class Compared(NamedTuple):
    """`refuting` are hard signals against the environment, `doubts` the others against it; `checked` the versions that
    files state and it has, `lists` the files that list versions by whatever hand."""

    refuting: tuple[str, ...]
    doubts: tuple[str, ...]
    checked: tuple[str, ...]
    lists: tuple[str, ...]


def compare(read: Checkpoint, versions: Mapping[str, str], python: str | None) -> Compared:
    """An adapter's or a model's folder against the versions of an environment, by name, and its Python."""
    observed, known = observe(read, search=False, models=True), {**known_releases(), PYTHON: PYTHONS}
    held: dict[str, str | None] = {**versions, PYTHON: python}
    refuting: list[str] = []
    doubts: list[str] = []
    checked: list[str] = []
    lists: list[str] = []
    for signal in _signals(observed, known):
        version = held.get(signal.package)
        if signal.stated and signal.strength == "weak":
            lists.append(signal.file)
        if not _speaks_against(signal, version, known.get(signal.package)):
            if signal.stated and signal.strength != "weak":
                checked.append(f"{signal.package} {signal.version[:60]} ({signal.file})")
        elif signal.strength == "hard":
            refuting.append(_line(signal, version, known))
        elif signal.strength == "strong" or signal.stated:
            doubts.append(_line(signal, version, known))
    unique = (tuple(dict.fromkeys(one)) for one in (refuting, doubts, checked, lists))
    return Compared(*unique)


def _signals(observed: Observed, known: Mapping[str, Known]) -> list[Signal]:
    named = (observed.adapter_config or {}).get("base_model_name_or_path")
    family = match(None, named if isinstance(named, str) else None, load_matrix(), load_support())
    ranges = ranges_of(observed, recognise(observed.traces), known)
    own_code = ran_own_code(observed)
    of_base = [one for one in family_signals(family, known) if not (own_code and one.package == "transformers")]
    return [*(one for found in ranges.values() for one in found.signals), *of_base, *_of_others(observed, known)]


def _of_others(observed: Observed, known: Mapping[str, Known]) -> Iterator[Signal]:
    """What a trainer's card says of packages that `infer` asks nothing of: TRL."""
    for file, card in observed.cards:
        for package, said in card_statements(card).items():
            if package not in known and said.manner == "exact" and not said.by_hand:
                says = f"{package} {said.version}"
                yield Signal(
                    package=package, strength="strong", file=file, says=says, admits=frozenset(), stated=True,
                    version=said.version,
                )  # fmt: skip


def _speaks_against(signal: Signal, version: str | None, known: Known | None) -> bool:
    """A version that is stated is compared as such where either of both is no known release."""
    named = series_of(version or "") if signal.package == PYTHON else version
    meant = known is not None and known.stated(named or "")
    if meant and signal.admits:
        return meant.isdisjoint(signal.admits)
    return signal.stated and signal.package != PYTHON and not same_release(version, signal.version)


def _line(signal: Signal, version: str | None, known: Mapping[str, Known]) -> str:
    if signal.stated:
        said = f"says {signal.says}"
    else:
        said = f"{signal.says}: {signal.package} {known[signal.package].describe(signal.admits)}"
    return f"{signal.file} {said}, the environment has {version or 'none'}"
