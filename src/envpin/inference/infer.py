"""`infer`: which environment wrote an adapter. Reading at the edge, a pure core behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from envpin.inference.choose import CandidatePins, Preferences, candidates, conflict
from envpin.inference.combine import Range, Signal, combine
from envpin.inference.observe import observe
from envpin.inference.pythons import PYTHON, PYTHONS
from envpin.inference.rules_peft import missing_keys, peft_signals, unknown_keys
from envpin.inference.rules_run import (
    BASE_CONFIG,
    BASE_NAME,
    base_type,
    brings_code,
    family_signals,
    python_range,
    ran_own_code,
    run_signals,
)
from envpin.inference.rules_transformers import transformers_signals
from envpin.inference.trainers import recognise
from envpin.inference.versions import PACKAGES, known_releases
from envpin.matrix.load import load_matrix
from envpin.matrix.match import Match, match
from envpin.matrix.support import load_support

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.core.adapter_format import ForeignFormat
    from envpin.core.place import OpenRemote, Place
    from envpin.inference.observe import Observed
    from envpin.inference.trainers import Recognised
    from envpin.inference.versions import Known
    from envpin.matrix.support import Support
    from envpin.matrix.types import Matrix

# How sure an answer is: `stated` in a file; `high` within one minor release; `moderate` within three; `low` wider;
# `none` where nothing says anything. A contradiction takes one step off.
Confidence = Literal["stated", "high", "moderate", "low", "none"]
# What brings the classes of bases that the pins load: transformers itself, and code that a base brings along.
_LOADED = frozenset({"transformers", "transformers_modules", "peft", "unsloth"})
_STEPS: tuple[Confidence, ...] = ("stated", "high", "moderate", "low", "none")


@dataclass(frozen=True, kw_only=True, slots=True)
class Inferred:
    """The answer. `ranges` and `confidences` are by package (`peft`, `transformers`, `torch`, `tokenizers`; `python`
    where a file names it).

    `candidates` are environments in the order to try them; `family` is what the matrix knows about the base; `notes`
    say what could not be read, and what the files lack.
    """

    observed: Observed
    trainer: Recognised | None
    ranges: Mapping[str, Range]
    confidences: Mapping[str, Confidence]
    candidates: tuple[CandidatePins, ...]
    family: Match
    known: Mapping[str, Known]
    notes: tuple[str, ...]

    @property
    def signals(self) -> tuple[Signal, ...]:
        """All of them, strongest first within each package."""
        order = {"hard": 0, "strong": 1, "weak": 2}
        by_name = (sorted(one.signals, key=lambda signal: order[signal.strength]) for one in self.ranges.values())
        return tuple(signal for signals in by_name for signal in signals)

    @property
    def contradictions(self) -> tuple[Signal, ...]:
        """Signals that the answer goes against: the files do not agree with each other, or with what exists."""
        return tuple(signal for one in self.ranges.values() for signal in one.against)

    @property
    def says_something(self) -> bool:
        """Whether any file tells about peft or transformers."""
        return self.tells("peft") or self.tells("transformers")

    def tells(self, package: str) -> bool:
        """See `tells`."""
        return tells(self.ranges[package])

    @property
    def confidence(self) -> Confidence:
        """That of the less sure of peft and transformers: a merge needs both. Not `none` where one of them is told."""
        less, more = sorted((self.confidences["peft"], self.confidences["transformers"]), key=_STEPS.index)[::-1]
        return "low" if less == "none" != more else less


def infer(
    adapter: Place | Checkpoint,
    *,
    base: str | Place | Checkpoint | None = None,
    open_remote: OpenRemote | None = None,
    known: Mapping[str, Known] | None = None,
) -> Inferred:
    """Which environment wrote the adapter in a folder. No network, no process; `known` are releases (see `newer`).

    Raises:
        InputError: the folder holds no adapter, or `base` was given and is not there.
    """
    observed = observe(adapter, base=base, open_remote=open_remote)
    return judge(observed, known or known_releases(), load_support(), load_matrix())


def judge(observed: Observed, known: Mapping[str, Known], support: Support, matrix: Matrix) -> Inferred:
    """The answer to what was observed. Pure."""
    trainer = recognise(observed.traces)
    if observed.foreign is not None:
        return _foreign(observed, observed.foreign, trainer, known)
    ranges = ranges_of(observed, trainer, known)
    known = {**known, PYTHON: PYTHONS}
    named = (observed.adapter_config or {}).get("base_model_name_or_path")
    family = match(
        dict(observed.base_config) if observed.base_config else None,
        named if isinstance(named, str) else None,
        matrix,
        support,
    )
    own_code = ran_own_code(observed)
    ranges, refuted = _within_family(ranges, family, known, own_code=own_code)
    kind = None if own_code or brings_code(observed) else base_type(observed) or _native_type(family)
    preferences = Preferences(kind=kind, pins=family.pins, day=observed.day, relations=matrix.relations)
    # Where neither a file nor the base speaks, every pair is as good as any other: none is proposed.
    lists = any(one.package != PYTHON for one in observed.listed)
    told = any(tells(ranges[name]) for name in PACKAGES)
    speaks = family.family is not None or kind is not None or lists or told
    proposed = candidates(ranges, known, support, preferences) if speaks else ()
    apart = conflict(ranges, known, support, preferences) if speaks and not proposed else None
    if apart is not None and family.basis == "name":
        apart += "; a base whose own code was loaded (trust_remote_code) needs no release that knows it"
    return Inferred(
        observed=observed,
        trainer=trainer,
        ranges=ranges,
        confidences={name: _confidence(one, known[name]) for name, one in ranges.items()},
        candidates=proposed,
        family=family,
        known=known,
        notes=(*observed.notes, *_notes(observed), *_aside(ranges), *refuted, *([] if apart is None else [apart])),
    )


def _foreign(
    observed: Observed, foreign: ForeignFormat, trainer: Recognised | None, known: Mapping[str, Known]
) -> Inferred:
    """No release of peft made it, and none loads it: nothing is proposed."""
    ranges = {name: combine((), known[name]) for name in PACKAGES}
    return Inferred(
        observed=observed,
        trainer=trainer,
        ranges=ranges,
        confidences=dict.fromkeys(PACKAGES, "none"),
        candidates=(),
        family=Match(family=None, certainty="unknown", basis="none"),
        known=known,
        notes=(*observed.notes, foreign.words, f"what merges or converts it: {foreign.step(observed.folder)}"),
    )


def _within_family(
    ranges: Mapping[str, Range], family: Match, known: Mapping[str, Known], *, own_code: bool
) -> tuple[dict[str, Range], list[str]]:
    """The ranges within what the base's family needs, and a note where the run's own files leave nothing of it."""
    found, notes = dict(ranges), []
    for signal in family_signals(family, known):
        if own_code and signal.package == "transformers":
            notes.append(f"{signal.says}; the run's base brought its own code, so that it needed no release for it")
            continue
        bounded = found[signal.package].bounded(signal)
        if bounded is None:
            notes.append(f"{signal.says}; the run's files say otherwise, and were believed")
        else:
            found[signal.package] = bounded
    return found, notes


def _native_type(family: Match) -> str | None:
    """The type that the matrix gives a base by its config or its name, where transformers itself has its class."""
    return family.model_type if family.kind == "native" and family.is_one else None


def tells(found: Range) -> bool:
    """Whether the adapter's own files narrow a package; what the base is, another run's base was as well."""
    own = [one for one in found.signals if one.strength != "weak" and one.file not in {BASE_CONFIG, BASE_NAME}]
    return found.known and bool(own)


def ranges_of(observed: Observed, trainer: Recognised | None, known: Mapping[str, Known]) -> dict[str, Range]:
    """The releases of each package that what was observed lets in. Pure, and all that a scan asks for."""
    python = python_range(observed.listed)
    return {**_packages_of(observed, trainer, known), **({} if python is None else {PYTHON: python})}


def _packages_of(observed: Observed, trainer: Recognised | None, known: Mapping[str, Known]) -> dict[str, Range]:
    signals = [
        *peft_signals(observed, known["peft"]),
        *transformers_signals(observed, known),
        *run_signals(observed, trainer, known),
    ]
    unique = list(dict.fromkeys(signals))
    ranges = {name: combine(unique, known[name]) for name in PACKAGES}
    foreign = {one.file for one in refuted_pins(ranges)}
    if not foreign:
        return ranges
    own = [one for one in unique if one.package == "peft" or not (_is_pin(one) and one.file in foreign)]
    return {name: combine(own, known[name]) for name in PACKAGES}


def refuted_pins(ranges: Mapping[str, Range]) -> list[Signal]:
    """Pins of peft, in lists and prose next to the adapter, that its own keys rule out: the list is another program's,
    such as that of the app which shows it, and its other pins say nothing of the run."""
    found = ranges["peft"]
    if not any(one.strength == "hard" for one in found.signals):
        return []
    return [one for one in found.signals if _is_pin(one) and one.admits and one.admits.isdisjoint(found.versions)]


def _is_pin(signal: Signal) -> bool:
    return signal.strength == "weak" and signal.stated


def _confidence(found: Range, releases: Known) -> Confidence:
    if not found.known:
        return "none"
    width = len(releases.minors(found.versions))
    sure: Confidence = "stated" if found.stated and width <= 2 else _of_width(width)
    if found.against:
        return _STEPS[min(_STEPS.index(sure) + 1, _STEPS.index("low"))]
    return sure


def _of_width(width: int) -> Confidence:
    return "high" if width <= 1 else "moderate" if width <= 3 else "low"


def _aside(ranges: Mapping[str, Range]) -> list[str]:
    return [
        f"{one.file} lists {one.says}, with which the adapter could not be as it is: its pins were left aside"
        for one in refuted_pins(ranges)
    ]


def _notes(observed: Observed) -> list[str]:
    config = observed.adapter_config or {}
    notes = []
    mapping = config.get("auto_mapping")
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    package = library.partition(".")[0][:40] if isinstance(library, str) else ""
    if package and package not in _LOADED:
        where = "the training script" if package == "__main__" else f"`{package}`"
        name = str(mapping.get("base_model_class"))[:60] if isinstance(mapping, dict) else ""
        notes.append(f"the base's class is `{name}` of {where}, which is needed besides these pins")
    missing, unknown = missing_keys(config), unknown_keys(config)
    if missing:
        shown = ", ".join(f"`{key[:40]}`" for key in missing[:4])
        notes.append(f"adapter_config.json lacks {shown}, which peft always writes: another program wrote it")
    if unknown:
        shown = ", ".join(f"`{key[:40]}`" for key in unknown[:4])
        notes.append(f"adapter_config.json has {shown}, which no known release of peft writes")
    return notes
