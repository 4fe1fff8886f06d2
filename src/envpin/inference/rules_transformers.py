"""What a folder says about the transformers (tokenizers, torch) that the run used. Pure."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from envpin.inference.combine import Signal, listed
from envpin.inference.statements import card_signals, stated_signal
from envpin.inference.versions import allows, releases_at
from envpin.matrix.fields import load_fields
from envpin.matrix.support import load_support

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.inference.combine import Strength
    from envpin.inference.observe import Arguments, Observed
    from envpin.inference.versions import Known
    from envpin.matrix.fields import ClassFacts

_OWN = ("transformers.training_args.", "transformers.training_args_seq2seq.")
_ENUMERATIONS = ("transformers.trainer_utils.", "transformers.trainer_pt_utils.", "transformers.training_args")
_KEPT = 64  # more than there are classes of arguments and configs
_INTERVAL, _SAVE = "transformers.trainer_utils.IntervalStrategy", "transformers.trainer_utils.SaveStrategy"


def transformers_signals(observed: Observed, known: Mapping[str, Known]) -> Iterator[Signal]:
    """Signals about `transformers`, `tokenizers` and `torch`."""
    yield from _cards(observed, known)
    yield from _configs(observed, known["transformers"])
    yield from _tokenizer(observed, known)
    for file, state in observed.states:
        yield from _trainer_state(file, state, known["transformers"])
    for arguments in observed.arguments:
        yield from _arguments(arguments, known)
    yield from _json_arguments(observed, known["transformers"])


def _cards(observed: Observed, known: Mapping[str, Known]) -> Iterator[Signal]:
    """A checkpoint's card is peft's; the run's is the trainer's, or what was put in its place (AutoTrain's)."""
    for file, card in observed.cards:
        for package in ("transformers", "torch", "tokenizers"):
            yield from card_signals(file, card, package, known[package])
        if "No additional optimizer arguments" in card:
            yield _mark(known, "transformers", "card.optimizer_arguments", file, "the optimizer's line of the card")


def _configs(observed: Observed, known: Known) -> Iterator[Signal]:
    """The config beside an adapter is the one that the trainer's process wrote; beside a whole model, the merger's."""
    for file, document in observed.configs:
        version = document.get("transformers_version")
        if isinstance(version, str) and version.strip():
            strength: Strength = "weak" if observed.holds_model else "strong"
            found = stated_signal("transformers", version, file, known, strength=strength, word="transformers_version")
            yield replace(found, stated=not observed.holds_model)


def _tokenizer(observed: Observed, known: Mapping[str, Known]) -> Iterator[Signal]:
    """What tokenizer_config.json lacks had not come yet. What it has proves little: a tokenizer carries the options
    that its base was saved with, also those that the release at work does not know."""
    config, file = observed.tokenizer_config, "tokenizer_config.json"
    transformers = known["transformers"]
    if config is not None:
        name = config.get("tokenizer_class")
        five = _mark(known, "transformers", "tokenizer_config.TokenizersBackend", file, "a tokenizer of transformers 5")
        if name == "TokenizersBackend":
            yield five
        elif isinstance(name, str) and name.endswith("Fast"):
            says = "a tokenizer class of transformers 4"
            before = transformers.everything - five.admits
            if "extra_special_tokens" in config:
                came = _mark(known, "transformers", "tokenizer_config.extra_special_tokens", file, "")
                own = "has `extra_special_tokens`, its own or its base's"
                yield Signal(package="transformers", strength="weak", file=file, says=own, admits=came.admits)
            for key in ("added_tokens_decoder", "extra_special_tokens"):
                if key not in config:
                    gone = _mark(known, "transformers", f"tokenizer_config.{key}", file, "", absent=True)
                    says, before = f"has no `{key}`", gone.admits
                    break
            yield Signal(package="transformers", strength="strong", file=file, says=says, admits=before)
    if "chat_template.jinja" in observed.traces.names:
        yield _mark(known, "transformers", "chat_template.jinja", "chat_template.jinja", "the template in its own file")
    yield from _serialization(observed, known)


def _serialization(observed: Observed, known: Mapping[str, Known]) -> Iterator[Signal]:
    """How tokenizer.json was written tells the tokenizers, and that the transformers which allow it."""
    marks = observed.tokenizer
    if marks is None:
        return
    tokenizers, file = known["tokenizers"], "tokenizer.json"
    found: list[tuple[str, frozenset[str]]] = []
    if marks.pairs is not None:
        says = "merges as pairs" if marks.pairs else "merges as texts"
        found.append((says, tokenizers.within(">=0.20" if marks.pairs else "<0.20")))
    if marks.ignore_merges is not None:
        says = "has `ignore_merges`" if marks.ignore_merges else "has no `ignore_merges`"
        found.append((says, tokenizers.within(">=0.19" if marks.ignore_merges else "<0.19")))
    for says, admits in found:
        yield Signal(package="tokenizers", strength="strong", file=file, says=says, admits=admits)
        shown = f"{says}: tokenizers {tokenizers.describe(admits)}"
        allowing = _allowing(known["transformers"], admits)
        yield Signal(package="transformers", strength="strong", file=file, says=shown, admits=allowing)  # fmt: skip


def _allowing(transformers: Known, tokenizers: frozenset[str]) -> frozenset[str]:
    """The releases of transformers whose requirement lets in one of some tokenizers."""
    wanted = _wanted_tokenizers()
    newest = next(reversed(wanted.values()))
    asked = {version: wanted.get(version, newest) for version in transformers.versions}
    fitting = {one for one in set(asked.values()) if one is None or any(allows(one, version) for version in tokenizers)}
    return frozenset(version for version, one in asked.items() if one in fitting)


@cache
def _wanted_tokenizers() -> dict[str, str | None]:
    support = load_support()
    return {one.version: support.requirements(one.version).get("tokenizers") for one in support.transformers}


def _trainer_state(file: str, state: Mapping[str, object], known: Known) -> Iterator[Signal]:
    facts = load_fields().packages["transformers"].classes["TrainerState"]
    yield from fields_signals(frozenset(state), facts, known, file=file, own=True)
    history = state.get("log_history")
    logged = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    steps = [entry for entry in logged if {"loss", "learning_rate"} <= set(entry)]
    if steps:
        has = any("grad_norm" in entry for entry in steps)
        says = "the log has `grad_norm`" if has else "the log has no `grad_norm`"
        yield _mark({"transformers": known}, "transformers", "logs.grad_norm", file, says, absent=not has)


def _arguments(arguments: Arguments, known: Mapping[str, Known]) -> Iterator[Signal]:
    facts = load_fields().packages["transformers"]
    path = arguments.state.path
    own = path.startswith(_OWN)
    kind = "Seq2SeqTrainingArguments" if path.endswith("Seq2SeqTrainingArguments") else "TrainingArguments"
    names = frozenset(arguments.state.attributes)
    if own or {"output_dir", "per_device_train_batch_size", "max_steps"} <= names:
        releases = known["transformers"]
        yield from fields_signals(names, facts.classes[kind], releases, file=arguments.file, own=own)
        accelerator = arguments.state.inner("accelerator_config")
        if accelerator is not None:
            inner = facts.classes["AcceleratorConfig"]
            yield from fields_signals(
                frozenset(accelerator.attributes), inner, releases, file=arguments.file, own=own, whole=False
            )
        yield from _classes(arguments, releases)
    if arguments.archive:
        for mark, name in (("save.format_version", ".format_version"), ("save.byteorder", "byteorder")):
            has = name in arguments.archive
            says = f"the archive has {'' if has else 'no '}`{name}`"
            yield _mark(known, "torch", mark, arguments.file, says, absent=not has, strength="hard")


def _classes(arguments: Arguments, known: Known) -> Iterator[Signal]:
    """Enumerations that transformers had for a time only."""
    facts = load_fields().packages["transformers"]
    if getattr(arguments.state.attributes.get("save_strategy"), "path", "") == _INTERVAL:
        says = "`save_strategy` is an `IntervalStrategy`"
        admits = known.everything - releases_at(facts.names[_SAVE], known)
        yield Signal(package="transformers", strength="hard", file=arguments.file, says=says, admits=admits)
    for value in arguments.state.attributes.values():
        path = getattr(value, "path", "")
        if path in facts.names and path.startswith(_ENUMERATIONS):
            says = f"names `{path.rpartition('.')[2]}`"
            admits = releases_at(facts.names[path], known)
            yield Signal(package="transformers", strength="hard", file=arguments.file, says=says, admits=admits)


def _json_arguments(observed: Observed, known: Known) -> Iterator[Signal]:
    """ms-swift writes all its arguments, transformers' among them, into args.json."""
    facts = load_fields().packages["transformers"].classes["TrainingArguments"]
    for file in ("args.json", "sft_args.json"):
        document = observed.traces.documents.get(file, {})
        if {"output_dir", "per_device_train_batch_size", "max_steps", "adam_beta1"} <= set(document):
            yield from fields_signals(frozenset(document), facts, known, file=file, own=False)


def fields_signals(
    names: frozenset[str], facts: ClassFacts, known: Known, *, file: str, own: bool, whole: bool = True
) -> Iterator[Signal]:
    """Bounds from the fields that an object has and has not.

    `own` is true for transformers' own class: another program's class inherits every field, so that what it lacks had
    not come yet, but it may bring fields of its own, or keep one that transformers gave up. `whole` is false where
    fields may be left out on saving.
    """
    since: dict[str, frozenset[str]] = {}
    for name in names:
        if name in facts.fields:
            spans = facts.fields[name].spans
            first = spans if own else ((spans[0][0], _newest_position()),)
            since[name] = releases_at(first, known)
    bounds = {name: admits for name, admits in since.items() if len(admits) < len(known.versions)}
    yield from _present(bounds, known, file=file, strength="hard" if own else "strong")
    if whole:
        complete = frozenset(version for version, has in _fields_by_release(facts, known).items() if has <= names)
        missing = [name for name in facts.fields if name not in names]
        if complete and missing and len(complete) < len(known.versions):
            says = f"has no {listed(_next_fields(missing, facts, known, complete))}"
            yield Signal(
                package="transformers", strength="hard" if own else "strong", file=file, says=says, admits=complete
            )


def _next_fields(missing: list[str], facts: ClassFacts, known: Known, complete: frozenset[str]) -> list[str]:
    """Of the fields that are missing those that came next after the releases which explain the file, or, where none
    came, those that went last before."""
    end = known.position[known.ordered(complete)[-1]]
    starts = {name: known.position[known.ordered(releases_at(facts.fields[name].spans, known))[0]] for name in missing}
    next_at = min((at for at in starts.values() if at > end), default=None)
    if next_at is not None:
        return [name for name, at in starts.items() if at == next_at]
    return missing


def _present(bounds: Mapping[str, frozenset[str]], known: Known, *, file: str, strength: Strength) -> Iterator[Signal]:
    together = known.everything
    for admits in bounds.values():
        together &= admits
    if not bounds:
        return
    if together:
        # One name that sets the lower end and one that sets the upper are enough to show.
        shown = sorted(bounds, key=lambda name: (len(bounds[name]), name))[:1]
        oldest = known.ordered(together)[0]
        starts = [name for name in sorted(bounds) if known.ordered(bounds[name])[0] == oldest]
        says = f"has {listed(dict.fromkeys([*starts[:2], *shown]))}"
        yield Signal(package="transformers", strength=strength, file=file, says=says, admits=together)
        return
    groups: dict[frozenset[str], list[str]] = {}
    for name, admits in bounds.items():
        groups.setdefault(admits, []).append(name)
    for admits, names in groups.items():
        yield Signal(package="transformers", strength="strong", file=file, says=f"has {listed(names)}", admits=admits)


_by_release: dict[tuple[int, int], tuple[ClassFacts, Known, dict[str, set[str]]]] = {}


def _fields_by_release(facts: ClassFacts, known: Known) -> dict[str, set[str]]:
    """Kept, because a scan asks it for every adapter; by identity, because the facts are large to compare."""
    key = (id(facts), id(known))
    if key not in _by_release:
        _by_release[key] = (facts, known, _collect_fields(facts, known))  # the objects live on, so the ids stay theirs
        if len(_by_release) > _KEPT:
            del _by_release[next(iter(_by_release))]
    return _by_release[key][2]


def _collect_fields(facts: ClassFacts, known: Known) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {version: set() for version in releases_at(facts.spans, known)}
    for name, one in facts.fields.items():
        for version in releases_at(one.spans, known):
            if version in found:
                found[version].add(name)
    return found


def _mark(
    known: Mapping[str, Known], package: str, mark: str, file: str, says: str, *, absent: bool = False,
    strength: Strength = "strong",
) -> Signal:  # fmt: skip
    """A signal from something that a package began to write at some release."""
    facts = load_fields().packages[package]
    spans = facts.names.get(f"mark:{mark}", ())
    admits = releases_at(spans, known[package])
    if absent:
        admits = known[package].everything - admits
    return Signal(package=package, strength=strength, file=file, says=says, admits=admits)


def _newest_position() -> int:
    return len(load_fields().packages["transformers"].releases) - 1
