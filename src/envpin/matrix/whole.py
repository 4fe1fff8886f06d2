"""All that the matrix says as one document for other tools, and its JSON Schema.

`python -m envpin.matrix.whole FILE` writes the schema. The document is typed, so that the schema cannot say otherwise.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.core.files import write_atomically
from envpin.matrix.listing import STRICT, ModelNames, bound_of, listing_of
from envpin.matrix.results import EvidenceRun  # noqa: TC001 - msgspec reads the fields' types
from envpin.matrix.types import Break, Family, Relation, TypeName  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpin.matrix.listing import Listing
    from envpin.matrix.stack import Stack, Tool
    from envpin.matrix.support import Support
    from envpin.matrix.types import Matrix

SCHEMA = 1


class TransformersRelease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release that was collected; `requires` is what it declares: package (or `python`) to versions."""

    version: str
    date: str
    yanked: bool
    requires: dict[str, str]


class ListedBy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tool's registry says of a family: `names` are those that mean it there, `versions` the releases that list
    one of them, of those whose registry was read. Without names, none in it was recognised as the family; a
    tool that is `strict` does not run what it does not list, others may."""

    names: list[str]
    versions: str
    strict: bool


class WholeMatrix(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything of `envpin matrix`. `model_types` maps a type to the spans of releases of transformers that know it,
    first and last inclusive; `stack` a family to what each tool with a registry says of it; `runs` are the evidence,
    by the ids that statements name. `schema` is the version of this form."""

    schema: int
    families: dict[str, Family]
    types: dict[str, TypeName]
    breaks: dict[str, Break]
    relations: list[Relation]
    transformers: list[TransformersRelease]
    model_types: dict[str, list[tuple[str, str]]]
    stack: dict[str, dict[str, ListedBy]]
    runs: dict[str, EvidenceRun]


def whole_matrix(matrix: Matrix, support: Support, stack: Stack, runs: Iterable[EvidenceRun]) -> WholeMatrix:
    """The document."""
    return WholeMatrix(
        schema=SCHEMA, families=matrix.families, types=matrix.types, breaks=matrix.breaks,
        relations=[*matrix.relations],
        transformers=[
            TransformersRelease(version=one.version, date=one.date, yanked=one.yanked,
                                requires=support.requirements(one.version))
            for one in support.transformers
        ],
        model_types={
            kind: [(support.transformers[first].version, support.transformers[last].version) for first, last in spans]
            for kind, spans in sorted(support.model_types.items())
        },
        stack={name: _listed(family, stack) for name, family in matrix.families.items()},
        runs={one.id: one for one in sorted(runs, key=lambda one: one.id)},
    )  # fmt: skip


def _listed(family: Family, stack: Stack) -> dict[str, ListedBy]:
    """By the family's types and the names of its models, as no config is there to tell more."""
    kinds: tuple[str | None, ...] = tuple(family.match.model_type) or (None,)
    models = [ModelNames(kind, (), family.models, family.match) for kind in kinds]
    found: dict[str, ListedBy] = {}
    for name in stack.tools:
        tool = stack.tools[name]
        listings = [listing for one in models if (listing := listing_of(tool, one)) is not None]
        if listings:
            found[name] = _joined(tool, listings)
    return found


def _joined(tool: Tool, listings: list[Listing]) -> ListedBy:
    names = sorted({name for one in listings for name in one.names})
    versions = bound_of(tool.listing(listings[0].kind, names), tool.read)
    return ListedBy(names=names, versions=versions, strict=tool.name in STRICT)


def whole_schema() -> dict[str, object]:
    """JSON Schema 2020-12 of the document."""
    schema = msgspec.json.schema(WholeMatrix)
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"envpin matrix list --whole --json, schema {SCHEMA}",
        **schema,
    }


def schema_text() -> str:
    return json.dumps(whole_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_atomically(Path(sys.argv[1]), schema_text().encode(), parents=True)
