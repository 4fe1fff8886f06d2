"""The JSON Schema of a matrix, made from the types. `python -m envpin.matrix.schema FILE` writes it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec

from envpin.core.files import write_atomically
from envpin.matrix.convert import FILLED
from envpin.matrix.types import SCHEMA, Matrix


def matrix_schema() -> dict[str, object]:
    """JSON Schema 2020-12. What it does not name is refused; what reading fills in is no field of it."""
    schema = msgspec.json.schema(Matrix)
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split())
        for name in FILLED & {*definition.get("properties", {})}:
            del definition["properties"][name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"compat_matrix.toml, schema {SCHEMA}",
        "description": "Which versions work for which family of models; a user's overlay has the same form.",
        **schema,
    }


def schema_text() -> str:
    return json.dumps(matrix_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_atomically(Path(sys.argv[1]), schema_text().encode(), parents=True)
