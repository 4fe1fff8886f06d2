"""What an adapter says about the peft that wrote it. Pure: what was observed goes in, signals come out."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.version import Version

from envpin.inference.combine import Signal, listed
from envpin.inference.statements import card_signals, stated_signal
from envpin.inference.versions import releases_at
from envpin.matrix.fields import load_fields, value_at
from envpin.matrix.refusals import refusals_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from envpin.inference.combine import Strength
    from envpin.inference.observe import Observed
    from envpin.inference.versions import Known
    from envpin.matrix.fields import ClassFacts

_FILE = "adapter_config.json"
# Keys that other programs add to a config of peft's.
_FOREIGN = frozenset({"unsloth_version", "lora_id", "is_trainable"})


def peft_signals(observed: Observed, known: Known) -> Iterator[Signal]:
    config = observed.adapter_config or {}
    written = config.get("peft_version")
    if isinstance(written, str) and written.strip():
        yield stated_signal("peft", written, _FILE, known, word="peft_version")
    for file, card in observed.cards:
        yield from card_signals(file, card, "peft", known)
    kind = config.get("peft_type")
    facts = load_fields().packages["peft"].classes.get(kind.upper()) if isinstance(kind, str) else None
    if facts is not None and isinstance(kind, str):
        yield from _of_type(kind.upper(), facts, known)
        yield from _of_keys(config, kind.upper(), known)
        yield from _of_refusals(config, kind.upper(), known)
        yield from _of_defaults(config, facts, known)
    if observed.weight_files and not observed.holds_model:
        yield from _of_weights(observed.weight_files, known)


def missing_keys(config: Mapping[str, object]) -> tuple[str, ...]:
    """Keys that every release of peft writes for this type and this config lacks: peft did not write it."""
    kind = config.get("peft_type")
    facts = load_fields().packages["peft"].classes.get(kind.upper()) if isinstance(kind, str) else None
    if facts is None:
        return ()
    always = [name for name, one in facts.fields.items() if one.spans == facts.spans]
    return tuple(name for name in always if name not in config)


def unknown_keys(config: Mapping[str, object]) -> tuple[str, ...]:
    """Keys that no collected release of peft writes for this type."""
    kind = config.get("peft_type")
    facts = load_fields().packages["peft"].classes.get(kind.upper()) if isinstance(kind, str) else None
    if facts is None:
        return ()
    return tuple(sorted(key for key in config if key not in facts.fields and key not in _FOREIGN))


def _of_type(kind: str, facts: ClassFacts, known: Known) -> Iterator[Signal]:
    admits = releases_at(facts.spans, known)
    if len(admits) < len(known.versions):
        yield Signal(package="peft", strength="hard", file=_FILE, says=f"peft_type {kind}", admits=admits)


def _of_keys(config: Mapping[str, object], kind: str, known: Known) -> Iterator[Signal]:
    """peft writes every field of its dataclass: a key that is there came with a release, one that is not there left or
    had not come yet. The second holds only where nothing is missing otherwise: other programs write subsets."""
    facts = load_fields().packages["peft"].classes[kind]
    present = {key: facts.fields[key].spans for key in config if key in facts.fields}
    bounding = {key: spans for key, spans in present.items() if spans != facts.spans}
    whole = _together(bounding.values(), known)
    absent = {key: one.spans for key, one in facts.fields.items() if key not in config}
    complete = releases_at(_complete(kind, frozenset(config)), known) if absent else frozenset[str]()
    between = _between(complete, whole, known) if bounding else frozenset[str]()
    # `peft_version` is no field of the class, and is what people cut out of a config: its absence alone tells nothing.
    if between and set(_next(absent)) - {"peft_version"}:
        new = [key for key in bounding if not releases_at(bounding[key], known) & complete]
        older, newer = known.ordered(between)
        says = f"has {listed(sorted(new))} and no {listed(_next(absent))}: a build between {older} and {newer}"
        yield Signal(package="peft", strength="hard", file=_FILE, says=says, admits=between)
        return
    if bounding and whole:
        # The keys that narrow it most are the ones to show.
        newest = _narrowest(bounding, known)
        yield Signal(package="peft", strength="hard", file=_FILE, says=f"has {listed(newest)}", admits=whole)
    elif bounding:
        groups: dict[frozenset[str], list[str]] = {}
        for key, spans in bounding.items():
            groups.setdefault(releases_at(spans, known), []).append(key)
        for admits, keys in groups.items():
            yield Signal(package="peft", strength="hard", file=_FILE, says=f"has {listed(keys)}", admits=admits)
    if complete and absent:
        says = f"has no {listed(_next(absent) or list(absent))}, and everything older"
        yield Signal(package="peft", strength="strong", file=_FILE, says=says, admits=complete)


def _of_refusals(config: Mapping[str, object], kind: str, known: Known) -> Iterator[Signal]:
    """Newer releases end where such a config is made, and where it is loaded. A task that none knows may be newer."""
    for one in refusals_of(config, kind):
        admits = frozenset(version for version in known.versions if Version(version) < Version(one.release))
        strength: Strength = "strong" if one.field == "task_type" else "hard"
        says = f"{one.says}: refused from {one.release} on"
        yield Signal(package="peft", strength=strength, file=_FILE, says=says, admits=admits)


@lru_cache(maxsize=64)  # adapters of one release and kind have the same keys: a scan meets few sets of them
def _complete(kind: str, keys: frozenset[str]) -> tuple[tuple[int, int], ...]:
    """The spans, of one position each, of the releases that write nothing which a config with these keys lacks."""
    facts = load_fields().packages["peft"].classes[kind]
    return tuple(
        (at, at)
        for at in range(len(_collected()))
        if _holds(facts.spans, at) and all(key in keys for key, one in facts.fields.items() if _holds(one.spans, at))
    )


def _between(complete: frozenset[str], whole: frozenset[str], known: Known) -> frozenset[str]:
    """The two releases that a checkout of peft's main branch was made between.

    It has keys of the next release already, and lacks others that the next release brought as well: what the present
    keys leave begins right after what the absent ones leave.
    """
    if not complete or not whole or complete & whole:
        return frozenset()
    last, first = known.ordered(complete)[-1], known.ordered(whole)[0]
    return frozenset({last, first}) if known.position[last] + 1 == known.position[first] else frozenset()


def _next(absent: Mapping[str, tuple[tuple[int, int], ...]]) -> list[str]:
    """Of the keys that are absent and did not leave again those that came first."""
    later = [key for key, spans in absent.items() if spans[-1][1] == len(_collected()) - 1]
    first = min((absent[key][0][0] for key in later), default=None)
    return [key for key in later if absent[key][0][0] == first]


def _of_defaults(config: Mapping[str, object], facts: ClassFacts, known: Known) -> Iterator[Signal]:
    """A value that is the default of some releases only: weak, as anybody may have asked for it."""
    releases = _collected()
    for key, one in facts.fields.items():
        if len(one.defaults) < 2 or key not in config:
            continue
        value = json.dumps(config[key], default=str)[:200]
        held = [at for at in range(len(releases)) if _holds(one.spans, at) and value_at(one.defaults, at) == value]
        same = releases_at([(at, at) for at in held], known)
        if same:
            says = f"{key} is {value[:30]}, the default"
            yield Signal(package="peft", strength="weak", file=_FILE, says=says, admits=same)


def _of_weights(files: Iterable[str], known: Known) -> Iterator[Signal]:
    """safetensors became what `save_pretrained` writes with 0.6.0; before and after, the other could be asked for."""
    name = next(iter(files))
    admits = known.within(">=0.6.0") if name.endswith(".safetensors") else known.within("<0.6.0")
    yield Signal(package="peft", strength="weak", file=name, says="the format written by default", admits=admits)


def _collected() -> tuple[str, ...]:
    return load_fields().packages["peft"].releases


def _holds(spans: Iterable[tuple[int, int]], at: int) -> bool:
    return any(first <= at <= last for first, last in spans)


def _together(spans: Iterable[tuple[tuple[int, int], ...]], known: Known) -> frozenset[str]:
    found = known.everything
    for one in spans:
        found &= releases_at(one, known)
    return found


def _narrowest(keys: Mapping[str, tuple[tuple[int, int], ...]], known: Known) -> list[str]:
    sizes = {key: len(releases_at(spans, known)) for key, spans in keys.items()}
    least = min(sizes.values())
    return sorted(key for key, size in sizes.items() if size == least)
