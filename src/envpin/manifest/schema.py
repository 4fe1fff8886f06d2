"""The JSON Schema of `envpin.json`, made from the types. `python -m envpin.manifest.schema FILE` writes it."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from envpin.manifest.types import SCHEMA, Manifest
from envpin.manifest.write import write_text


def manifest_schema() -> dict[str, Any]:
    """JSON Schema 2020-12. Fields that it does not name are allowed: a newer minor writer may add some."""
    schema = _dedented(msgspec.json.schema(Manifest))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"envpin.json, schema {SCHEMA}",
        "description": "The record of one training run, beside what it saved.",
        **schema,
    }


def _dedented(value: Any) -> Any:
    """Docstrings without the indentation of the code, which some releases of msgspec leave in."""
    if isinstance(value, dict):
        return {
            key: inspect.cleandoc(one) if key == "description" and isinstance(one, str) else _dedented(one)
            for key, one in value.items()
        }
    return [_dedented(one) for one in value] if isinstance(value, list) else value


def schema_text() -> str:
    return json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), schema_text())
