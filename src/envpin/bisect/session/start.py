"""Puts a search together: its folder, its axis, its prior, its session. On a folder that has a log, all of these come
from the log, so that a search that goes on is the same search, whatever the index says by then."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from envpin.bisect.environments.holding import Holder
from envpin.bisect.search.axis import Axis, make_axis, upload_time
from envpin.bisect.search.prior import Find, Guess, ProbeSubject, Reading, exported, guess, imported, read
from envpin.bisect.search.search import Problem, repeatable
from envpin.bisect.session.history import Log, VerdictCache
from envpin.bisect.session.prober import Prober
from envpin.bisect.session.session import SearchSession
from envpin.core import json_input
from envpin.core.errors import EnvpinError, InputError
from envpin.core.events import Note, Progress, ignore
from envpin.core.sizes import counted
from envpin.envs.locks.requirements import exact_pins
from envpin.envs.store.store import Store
from envpin.matrix.recipes import load_recipes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from envpin.bisect.question import Question
    from envpin.core.events import Listener
    from envpin.envs.locks.lock import Lock
    from envpin.remote.index import Index, Release

# What building an environment costs beside running a probe in one that is there. A judgement: a build with a warm cache
# takes about as long as a probe, which imports torch; too low a value builds more, too high a value probes more.
_TO_BUILD = 1.5


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How a search is run; none of it changes what is asked."""

    jobs: int = 1
    prefetch: bool = True
    offline: bool = False
    use_cache: bool = True
    use_prior: bool = True
    listener: Listener = ignore
    on_record: Callable[[Mapping[str, object], SearchSession], None] | None = None
    root: Path | None = field(default=None)


def open_session(
    question: Question, options: SearchOptions, *, base: Lock | None = None
) -> tuple[SearchSession, Problem]:
    """The session of `question`, new or continued, and the problem that it searches.

    `base` is a lock that everything but the package under test is held at.

    Raises:
        UsageError, InputError: the ends make no sense or do not exist.
        NetworkError: the index cannot be reached.
    """
    store = Store(options.root)
    folder = folder_of(store.root, question.identity)
    log = Log(folder / "log.jsonl")
    setup = log.last("setup")
    if setup is None:
        setup = _set_up(question, store, options)
    axis = msgspec.convert(setup["axis"], Axis)
    session = SearchSession(
        question,
        folder=folder,
        axis=axis,
        holder=Holder(question, uploaded=setup["uploaded"], base=base, root=options.root, offline=options.offline),
        prober=Prober(question.probe, folder / "probe", timeout=question.timeout),
        store=store,
        cache=VerdictCache(store.root / "bisect" / "verdicts") if options.use_cache else None,
        jobs=options.jobs,
        prefetch=options.prefetch,
        offline=options.offline,
        listener=options.listener,
        on_record=options.on_record,
        setup={name: setup[name] for name in ("axis", "weights", "costs", "uploaded", "reasons", "model_type")},
    )
    return session, problem_of(question, setup)


def problem_of(question: Question, setup: Mapping[str, Any]) -> Problem:
    """The problem that a search was set up with."""
    prior, cost = tuple(setup["weights"]), tuple(setup["costs"])
    return repeatable(prior, cost) if question.probe.repeatable else Problem(prior=prior, cost=cost)


def folder_of(root: Path, identity: str) -> Path:
    return root / "bisect" / "searches" / identity


def _set_up(question: Question, store: Store, options: SearchOptions) -> dict[str, Any]:
    from envpin.remote.index import Index

    index = Index(offline=options.offline)
    published = index.releases(question.package)
    axis = make_axis(
        question.package,
        published,
        old=question.old,
        new=question.new,
        python=question.python,
        prereleases=question.prereleases,
        yanked=question.yanked,
    )
    uploaded = {candidate.version: candidate.uploaded for candidate in axis.candidates if candidate.uploaded}
    uploaded |= _held_dates(question, index)
    known = {release.version: release for release in published}
    subject = _subject(question, index)
    made = _guess(subject, axis, known, index, options, find=question.find) if options.use_prior else flat(axis)
    return {
        "axis": msgspec.to_builtins(axis),
        "weights": list(made.weights),
        "costs": _costs(question, axis, store),
        "uploaded": uploaded,
        "model_type": subject.model_type,
        "reasons": {axis.versions[at]: reason for at, reason in made.reasons.items()},
    }


def flat(axis: Axis) -> Guess:
    """No guess at all."""
    return guess(axis.versions, [None] * len(axis.versions))


def _held_dates(question: Question, index: Index) -> dict[str, str]:
    """When the exactly pinned packages appeared, as far as the index knows them."""
    found: dict[str, str] = {}
    for name, pin in exact_pins(question.held).items():
        with contextlib.suppress(InputError):
            for release in index.releases(name):
                when = upload_time(release)
                if release.version == pin and when is not None:
                    found[f"{name}=={pin}"] = when
    return found


def _costs(question: Question, axis: Axis, store: Store) -> list[float]:
    """A release whose environment is built already is cheaper to probe than one that must be built."""
    held = exact_pins(question.held)
    ready = set()
    for environment in store.list():
        receipt = environment.receipt
        versions = {name: artifact.version for name in held if (artifact := receipt.artifact(name)) is not None}
        own = receipt.artifact(question.package)
        if own is not None and all(versions.get(name, "").startswith(pin) for name, pin in held.items()):
            ready.add(own.version)
    return [1.0 if version in ready else _TO_BUILD for version in axis.versions]


def _guess(
    subject: ProbeSubject, axis: Axis, known: Mapping[str, Release], index: Index, options: SearchOptions, *, find: Find
) -> Guess:
    """Read the wheels of every candidate. What cannot be read has no weight; no network has its say later."""
    if not subject.members(axis.versions[0]):
        return flat(axis)
    done = 0

    def one(version: str) -> Reading | None:
        nonlocal done
        wheel = known[version].wheel if version in known else None
        reading = None
        if wheel is not None:
            with contextlib.suppress(EnvpinError):
                reading = read(subject, index.members(wheel, subject.members(version)))
        done += 1
        options.listener(Progress(key="prior", done=done, total=len(axis.versions), unit="wheels", label="reading"))
        return reading

    with ThreadPoolExecutor(8) as pool:
        readings: Sequence[Reading | None] = list(pool.map(one, axis.versions))
    made = guess(axis.versions, readings, find)
    unread = sum(reading is None for reading in readings)
    if unread:
        message = f"{counted(unread, 'wheel')} could not be read: what is in such a release is guessed by its number"
        options.listener(Note(message=message))
    return made


def _subject(question: Question, index: Index) -> ProbeSubject:
    probe = question.probe
    model_type, rope_type = _model_facts(probe.family, probe.base)
    held = exact_pins(question.held)
    exports = imports = None
    if question.package == "peft" and "transformers" in held:
        texts = _held_members(index, "transformers", held["transformers"], ("transformers/__init__.py",))
        exports = exported(next(iter(texts.values()))) if texts else None
    if question.package == "transformers" and "peft" in held:
        files = ProbeSubject(package="peft").members(held["peft"])
        texts = _held_members(index, "peft", held["peft"], files)
        imports = imported(texts.values()) if texts else None
    return ProbeSubject(
        package=question.package,
        model_type=model_type,
        rope_type=rope_type,
        exports=exports,
        imports=imports,
        torch=held.get("torch"),
    )


def _held_members(index: Index, package: str, version: str, names: Sequence[str]) -> dict[str, str]:
    with contextlib.suppress(EnvpinError):
        for release in index.releases(package):
            if release.version == version and release.wheel is not None:
                members = index.members(release.wheel, names)
                return {name: data.decode("utf-8", errors="replace") for name, data in members.items()}
    return {}


def _model_facts(family: str | None, base: str | None) -> tuple[str | None, str | None]:
    """Model type and rope type, from the user's base or from the family's recipe."""
    config: object = None
    if base is not None:
        with contextlib.suppress(OSError, json_input.BadJsonError):
            config = json_input.read_object(Path(base) / "config.json")
    elif family is not None and family in load_recipes():
        config = load_recipes()[family].config
    if not isinstance(config, dict):
        return None, None
    scaling = config.get("rope_scaling") or config.get("rope_parameters")
    rope = (scaling.get("rope_type") or scaling.get("type")) if isinstance(scaling, dict) else None
    model_type = config.get("model_type")
    safe = isinstance(model_type, str) and model_type.replace("_", "").replace("-", "").isalnum()
    return (model_type if safe else None), (rope if isinstance(rope, str) else None)
