"""The whole matrix as one document: its published schema is made from its types."""

from __future__ import annotations

import jsonschema

from envpin.matrix.whole import schema_text, whole_schema
from tests.support.places import ROOT


def test_published_schema_is_what_the_types_say() -> None:
    published = ROOT / "docs" / "reference" / "matrix-whole.schema.json"
    assert published.read_text(encoding="utf-8") == schema_text(), (
        "run: .venv/bin/python -m envpin.matrix.whole docs/reference/matrix-whole.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(whole_schema())
