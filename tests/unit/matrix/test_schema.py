"""The published JSON Schema of the matrix: made from the types, true of the matrix that travels with envpin."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import jsonschema
import pytest

from envpin.core.errors import InputError
from envpin.core.resources import data_path
from envpin.matrix.load import parse_matrix
from envpin.matrix.schema import schema_text
from tests.support.places import ROOT

PUBLISHED = ROOT / "docs" / "reference" / "matrix.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text(encoding="utf-8")))


def shipped() -> dict[str, Any]:
    return tomllib.loads(data_path("compat_matrix.toml").read_text(encoding="utf-8"))


def test_it_is_what_the_types_say() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text(), (
        "run: .venv/bin/python -m envpin.matrix.schema docs/reference/matrix.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)


def test_the_shipped_matrix_follows_it() -> None:
    assert [error.message for error in VALIDATOR.iter_errors(shipped())] == []


def small() -> dict[str, Any]:
    """The shipped matrix with one family, one break and one relation: writing all of it as TOML takes a second."""
    document = shipped()
    family = {**document["families"]["gpt2"], "breaks": []}
    return {
        "schema": document["schema"],
        "families": {"gpt2": family},
        "breaks": {"fused-experts": document["breaks"]["fused-experts"]},
        "relations": document["relations"][:1],
    }


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("families", "gpt2", "kind"), "strange", "families.gpt2.kind: "),
        (("families", "gpt2", "tilte"), "GPT-2", "families.gpt2.tilte: no such field"),
        (("families", "gpt2", "id"), "gpt2", "families.gpt2.id: no such field"),
        (("families", "gpt2", "known_good", 0, "grade"), "good", "families.gpt2.known_good[0].grade: "),
        (("families", "gpt2", "known_good", 0, "packages"), ["torch"], "families.gpt2.known_good[0].packages: "),
        (("breaks", "fused-experts", "affects"), "merge", "breaks.fused-experts.affects: expected an array"),
        (("relations", 0, "needs"), 1, "relations[0].needs: "),
    ],
)
def test_what_it_refuses_the_reader_refuses_by_its_place(path: tuple[str | int, ...], value: object, line: str) -> None:
    document = small()
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert [*VALIDATOR.iter_errors(document)], "the schema lets it pass"
    import tomlkit

    with pytest.raises(InputError) as caught:
        parse_matrix(tomlkit.dumps(document))
    assert any(one.startswith(line) for one in caught.value.problems), caught.value.problems


def test_faults_come_all_at_once_each_with_its_path() -> None:
    document = small()
    document["families"]["gpt2"]["tilte"] = "x"
    document["relations"][0]["needs"] = 1
    del document["breaks"]["fused-experts"]["title"]
    import tomlkit

    with pytest.raises(InputError) as caught:
        parse_matrix(tomlkit.dumps(document))
    assert len(caught.value.problems) == len([*VALIDATOR.iter_errors(document)]) == 3
