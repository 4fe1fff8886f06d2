"""`matrix collect --fields`: which fields each release writes into configs, trainer states and training arguments.

A few members of each wheel are read by range request; nothing is downloaded whole, installed or run.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.version import Version

from envpin.core.errors import InputError
from envpin.core.events import Note, Progress, Step, ignore
from envpin.core.sizes import counted
from envpin.evidence.field_facts import Classes, class_names, read_classes
from envpin.evidence.wheel_facts import exact_requirements
from envpin.matrix.fields import SCHEMA, ClassFacts, FieldFacts, Fields, PackageFacts, Spans
from envpin.matrix.support import spans_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from envpin.core.events import Listener
    from envpin.remote.index import Index, Release

SOURCE = "dataclass fields of the released wheels, read as syntax by `envpin matrix collect --fields`"
# Before it, TrainingArguments was another class in all that matters, and peft's first release needs 4.25.
_FIRST_TRANSFORMERS = Version("4.20.0")
# The fields of its parameters and the exact pins of its requirements stand in its wheels from here on.
_FIRST_AUTOTRAIN = Version("0.6.0")
_ARGUMENTS = "transformers/training_args.py"
_ARGUMENTS_S2S = "transformers/training_args_seq2seq.py"
_STATE = "transformers/trainer_callback.py"
# Modules whose classes training_args.bin names.
_NAMED = (_ARGUMENTS, _ARGUMENTS_S2S, "transformers/trainer_utils.py", "transformers/trainer_pt_utils.py",
          "transformers/debug_utils.py", "transformers/integrations/deepspeed.py")  # fmt: skip
_TOKENIZER = "transformers/tokenization_utils_base.py"
# Words whose appearance in a module is when what they stand for began to be written: mark, member, pattern.
_MARKS: Mapping[str, tuple[tuple[str, str, bytes], ...]] = {
    "transformers": (
        ("tokenizer_config.added_tokens_decoder", _TOKENIZER, rb"added_tokens_decoder"),
        ("tokenizer_config.extra_special_tokens", _TOKENIZER, rb"extra_special_tokens"),
        ("tokenizer_config.backend", _TOKENIZER, rb'"backend"'),
        ("tokenizer_config.TokenizersBackend", _TOKENIZER, rb"TokenizersBackend"),
        ("chat_template.jinja", _TOKENIZER, rb"save_jinja_files"),
        ("logs.grad_norm", "transformers/trainer.py", rb'logs\["grad_norm"\]'),
        ("card.optimizer_arguments", "transformers/modelcard.py", rb"No additional optimizer arguments"),
    ),
    "tokenizers": (("BPE.ignore_merges", "tokenizers/models/__init__.pyi", rb"ignore_merges"),),
    "torch": (
        ("save.byteorder", "torch/serialization.py", rb"write_record\(['\"]byteorder"),
        ("save.format_version", "torch/serialization.py", rb"\.format_version"),
    ),
}
_FIRST_TORCH, _FIRST_TOKENIZERS = Version("1.10.0"), Version("0.11.0")
_AUTOTRAIN = {"llm": ("autotrain/trainers/clm/params.py", "LLMTrainingParams")}
_AUTOTRAIN_COMMON = "autotrain/trainers/common.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """One release: the fields of each class that ends up in a file, with defaults; class paths; exact requirements."""

    classes: Mapping[str, Mapping[str, str]]
    names: frozenset[str] = frozenset()
    pins: Mapping[str, str] = field(default_factory=dict)


def collect_fields(index: Index, *, jobs: int = 8, listener: Listener = ignore) -> Fields:
    """Read every release. What was read before comes from the cache of `index`.

    Releases whose wheel cannot be read are left out with a warning.

    Raises:
        NetworkError, InputError: the index itself does not answer.
    """
    packages = {
        "peft": (_peft, Version("0")),
        "transformers": (_transformers, _FIRST_TRANSFORMERS),
        "tokenizers": (_marked("tokenizers"), _FIRST_TOKENIZERS),
        "torch": (_marked("torch"), _FIRST_TORCH),
        "autotrain-advanced": (_autotrain, _FIRST_AUTOTRAIN),
    }
    return Fields(
        schema=SCHEMA,
        source=SOURCE,
        packages={
            name: _package(index, name, first, read, jobs=jobs, listener=listener)
            for name, (read, first) in packages.items()
        },
    )


def _package(
    index: Index, name: str, first: Version, read: Callable[[Index, Release], _Read], *, jobs: int, listener: Listener
) -> PackageFacts:
    wanted = [
        one
        for one in index.releases(name)
        if not one.is_prerelease and one.wheel is not None and Version(one.version) >= first
    ]
    title = f"read {counted(len(wanted), 'release')} of {name}"
    listener(Step(key=name, title=title))

    def attempt(release: Release) -> _Read | str:
        try:
            return read(index, release)
        except (InputError, SyntaxError, ValueError) as error:
            return f"{name} {release.version} cannot be read: {error}"

    kept: list[tuple[Release, _Read]] = []
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for at, (release, facts) in enumerate(zip(wanted, pool.map(attempt, wanted), strict=True), start=1):
            listener(Progress(key=name, done=at, total=len(wanted), unit="releases"))
            if isinstance(facts, _Read):
                kept.append((release, facts))
            else:
                listener(Note(message=facts, level="warning"))
    listener(Step(key=name, title=title, state="done", detail=f"{len(kept)} read"))
    return assemble([release for release, _ in kept], [facts for _, facts in kept])


def assemble(releases: Sequence[Release], read: Sequence[_Read]) -> PackageFacts:
    """What each release has, turned round: for each field the releases that have it."""
    every_name = set[str]().union(*(one.names for one in read))
    names = {name: spans_of([name in one.names for one in read]) for name in sorted(every_name)}
    always = ((0, len(read) - 1),)
    return PackageFacts(
        releases=tuple(one.version for one in releases),
        dates=tuple(one.uploaded.date().isoformat() if one.uploaded else "" for one in releases),
        yanked=tuple(one.version for one in releases if one.yanked),
        classes={
            name: _class([one.classes.get(name) for one in read])
            for name in sorted(set[str]().union(*(one.classes for one in read)))
        },
        names={name: spans for name, spans in names.items() if spans != always},
        pins={
            package: _changes([one.pins.get(package, "") for one in read])
            for package in sorted(set[str]().union(*(one.pins for one in read)))
        },
    )


def _class(read: Sequence[Mapping[str, str] | None]) -> ClassFacts:
    names = sorted(set[str]().union(*(one for one in read if one is not None)))
    fields = {}
    for name in names:
        present = [one is not None and name in one for one in read]
        spans: Spans = spans_of(present)
        defaults = _changes([one[name] if one is not None and name in one else None for one in read])
        fields[name] = FieldFacts(spans=spans, defaults=defaults)
    return ClassFacts(spans=spans_of([one is not None for one in read]), fields=fields)


def _changes(values: Sequence[str | None]) -> tuple[tuple[int, str], ...]:
    """Where a value differs from the one before; None keeps what was."""
    found: list[tuple[int, str]] = []
    for at, value in enumerate(values):
        if value is not None and value != (found[-1][1] if found else ""):
            found.append((at, value))
    return tuple(found)


def _peft(index: Index, release: Release) -> _Read:
    """Every config class that gives itself a `peft_type`."""
    wheel = release.wheel
    assert wheel is not None  # noqa: S101  releases without one were left out
    members = [name for name in index.member_names(wheel) if name.startswith("peft/") and name.endswith(".py")]
    classes = read_classes(index.members(wheel, members))
    kinds = {kind: one.name for one in classes.found.values() for kind in one.kinds}
    if "LORA" not in kinds:
        raise ValueError("no class gives itself the type LORA")
    return _Read(classes={kind: classes.fields(name) for kind, name in kinds.items()})


def _transformers(index: Index, release: Release) -> _Read:
    wheel = release.wheel
    assert wheel is not None  # noqa: S101  as above
    marked = {member for _, member, _ in _MARKS["transformers"]}
    sources = index.members(wheel, sorted({*_NAMED, _STATE, *marked}))
    classes = read_classes(sources)
    wanted = {"TrainingArguments": "TrainingArguments", "TrainerState": "TrainerState",
              "Seq2SeqTrainingArguments": "Seq2SeqTrainingArguments",
              "AcceleratorConfig": "AcceleratorConfig"}  # fmt: skip
    found = {key: _saved(classes, name) for key, name in wanted.items() if name in classes.found}
    if {"TrainingArguments", "TrainerState"} - found.keys():
        raise ValueError("TrainingArguments or TrainerState was not found")
    names = {
        f"{path.removesuffix('.py').replace('/', '.')}.{name}"
        for path in _NAMED
        if path in sources
        for name in class_names(sources[path])
    }
    return _Read(classes=found, names=frozenset(names | _marks("transformers", sources)))


def _marked(package: str) -> Callable[[Index, Release], _Read]:
    """A reader of the marks of a package alone."""

    def read(index: Index, release: Release) -> _Read:
        wheel = release.wheel
        assert wheel is not None  # noqa: S101  as above
        sources = index.members(wheel, sorted({member for _, member, _ in _MARKS[package]}))
        return _Read(classes={}, names=frozenset(_marks(package, sources)))

    return read


def _marks(package: str, sources: Mapping[str, bytes]) -> set[str]:
    return {f"mark:{mark}" for mark, member, word in _MARKS[package] if re.search(word, sources.get(member, b""))}


def _saved(classes: Classes, name: str) -> dict[str, str]:
    """The fields that every instance has: private ones are set by some methods only."""
    return {key: default for key, default in classes.fields(name).items() if not key.startswith("_")}


def _autotrain(index: Index, release: Release) -> _Read:
    wheel = release.wheel
    assert wheel is not None  # noqa: S101  as above
    metadata = f"{wheel.filename.split('-')[0]}-{release.version}.dist-info/METADATA"
    paths = [path for path, _ in _AUTOTRAIN.values()]
    sources = index.members(wheel, [metadata, _AUTOTRAIN_COMMON, *paths])
    classes = read_classes({path: text for path, text in sources.items() if path != metadata})
    found = {key: classes.fields(name) for key, (_, name) in _AUTOTRAIN.items() if name in classes.found}
    return _Read(classes=found, pins=exact_requirements(sources.get(metadata, b"")))
