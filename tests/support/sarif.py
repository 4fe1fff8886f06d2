"""Is a log valid SARIF 2.1.0? By the schema of the standard."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tests.support.places import DATA


@cache
def _validator() -> Any:
    import jsonschema

    schema = json.loads((DATA / "sarif" / "sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
    jsonschema.Draft4Validator.check_schema(schema)
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)


def faults(log: object) -> list[str]:
    """Everything that the schema has against it, each with its place."""
    return [f"{'/'.join(map(str, one.absolute_path))}: {one.message[:200]}" for one in _validator().iter_errors(log)]
