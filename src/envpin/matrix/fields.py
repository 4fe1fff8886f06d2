"""Which fields every release writes into the files that a run leaves: read, ask, write.

Collected by `envpin matrix collect --fields` from the wheels, as syntax; see `envpin.evidence.collect_fields`. A class
is what ends up in a file: a peft config by its `peft_type`, transformers' `TrainerState` (trainer_state.json) and
`TrainingArguments` (training_args.bin), AutoTrain's parameters (training_params.json).
"""

from __future__ import annotations

from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.core.errors import InputError
from envpin.core.sizes import counted
from envpin.core.typed_json import NOT_OF_ITS_SHAPE

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
_SHIPPED = Path(__file__).with_name("fields.json")
Spans = tuple[tuple[int, int], ...]


class FieldFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`spans` are inclusive positions in the package's releases; `defaults` are pairs (position, default), each
    holding from there on, as JSON writes it; `required` and `…` (computed) are no JSON."""

    spans: Spans
    defaults: tuple[tuple[int, str], ...] = ()


class ClassFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`spans` say in which releases the class exists at all."""

    spans: Spans
    fields: dict[str, FieldFacts]


class PackageFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """`releases` and `dates` (days) are parallel, in version order, without pre-releases; `yanked` are versions.

    `names` are dotted class paths and where they exist; `pins` is what a release requires exactly, by package:
    (position, version), holding from there on, an empty version ending it.
    """

    releases: tuple[str, ...]
    dates: tuple[str, ...]
    yanked: tuple[str, ...] = ()
    classes: dict[str, ClassFacts] = {}
    names: dict[str, Spans] = {}
    pins: dict[str, tuple[tuple[int, str], ...]] = {}

    @cached_property
    def positions(self) -> Mapping[str, int]:
        return {version: at for at, version in enumerate(self.releases)}

    def pinned(self, at: int) -> dict[str, str]:
        """What the release at a position requires exactly."""
        found = {package: value_at(changes, at) for package, changes in self.pins.items()}
        return {package: version for package, version in found.items() if version}


class Fields(msgspec.Struct, frozen=True, kw_only=True):
    """Per package (`peft`, `transformers`, `autotrain-advanced`) what was read from its wheels."""

    schema: int
    source: str
    packages: dict[str, PackageFacts]

    def first_releases(self, peft_type: str = "LORA") -> dict[str, str]:
        """Field of a peft config to the first release of peft that has it, of those that not every release has."""
        facts = self.packages["peft"]
        found = facts.classes[peft_type]
        return {
            name: facts.releases[one.spans[0][0]]
            for name, one in found.fields.items()
            if one.spans[0][0] > found.spans[0][0]
        }


def value_at(changes: tuple[tuple[int, str], ...], at: int) -> str | None:
    """The last value that holds at a position; None before the first."""
    held = [value for start, value in changes if start <= at]
    return held[-1] if held else None


@cache
def load_fields(path: Path | None = None) -> Fields:
    """Read what was collected: from `path`, or what travels with envpin.

    Raises:
        InputError: the file is missing or is not what `matrix collect --fields` writes.
    """
    source = _SHIPPED if path is None else path
    hint = "envpin matrix collect --fields"
    try:
        found = msgspec.json.decode(source.read_bytes(), type=Fields)
    except OSError as error:
        raise InputError(f"`{source}` cannot be read: {error.strerror}", path=source, hint=hint) from error
    except NOT_OF_ITS_SHAPE as error:
        raise InputError(f"`{source}` is not collected field data: {error}", path=source, hint=hint) from error
    for name, package in found.packages.items():
        if len(package.releases) != len(package.dates):
            raise InputError(
                f"`{source}`: {name} has {counted(len(package.releases), 'release')}, "
                f"{counted(len(package.dates), 'date')}"
            )
    return found


def encode_fields(fields: Fields) -> bytes:
    """The file: one line per field, so that a change reads well in a diff."""

    def joined(items: list[str], opening: str, closing: str) -> str:
        return opening + "\n" + ",\n".join(items) + "\n" + closing

    def table(values: Mapping[str, object]) -> str:
        return joined([f"{_json(key)}:{_json(value)}" for key, value in sorted(values.items())], "{", "}")

    packages = []
    for name, one in sorted(fields.packages.items()):
        classes = [
            f'{_json(key)}:{{"spans":{_json(facts.spans)},"fields":{table(facts.fields)}}}'
            for key, facts in sorted(one.classes.items())
        ]
        packages.append(
            f"{_json(name)}:"
            + joined(
                [
                    f'"releases":{_json(one.releases)}',
                    f'"dates":{_json(one.dates)}',
                    f'"yanked":{_json(one.yanked)}',
                    '"names":' + table(one.names),
                    '"pins":' + table(one.pins),
                    '"classes":' + joined(classes, "{", "}"),
                ],
                "{",
                "}",
            )
        )
    parts = [
        f'"schema":{fields.schema}',
        f'"source":{_json(fields.source)}',
        '"packages":' + joined(packages, "{", "}"),
    ]
    return (joined(parts, "{", "}") + "\n").encode()


def fields_path() -> Path:
    """Where the collected data of this installation is."""
    return _SHIPPED


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
