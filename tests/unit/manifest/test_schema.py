"""The published JSON Schema of a manifest, and the page that explains it."""

from __future__ import annotations

from envpin.manifest import schema
from tests.support.places import ROOT


def test_the_published_schema_is_fresh() -> None:
    published = ROOT / "docs" / "reference" / "envpin.schema.json"
    assert published.read_text(encoding="utf-8") == schema.schema_text(), (
        "run: .venv/bin/python -m envpin.manifest.schema docs/reference/envpin.schema.json"
    )


def test_every_field_is_explained() -> None:
    page = (ROOT / "docs" / "reference" / "manifest.md").read_text(encoding="utf-8")
    for name, value in schema.manifest_schema()["$defs"].items():
        for field in value["properties"]:
            assert f"`{field}`" in page, f"docs/reference/manifest.md does not explain {name}.{field}"
