"""JSON Schemas of the files of signatures and of the catalogue, made from the types.

`python -m envpin.diagnose.schema docs/reference` writes them there; editors check the TOML files against them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec

from envpin.diagnose.catalogue.catalogue import CauseGroup
from envpin.diagnose.logs.signatures.signature import SignatureFile

PUBLISHED = {
    "signatures.schema.json": (SignatureFile, "src/envpin/diagnose/logs/signatures/*.toml"),
    "catalogue.schema.json": (CauseGroup, "src/envpin/diagnose/catalogue/*.toml"),
}


def schema_text(name: str) -> str:
    """The text of one of `PUBLISHED`: JSON Schema 2020-12."""
    form, title = PUBLISHED[name]
    schema = msgspec.json.schema(form)
    for definition in schema["$defs"].values():
        definition["description"] = " ".join(definition.get("description", "").split())
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in PUBLISHED:
        (Path(sys.argv[1]) / each).write_text(schema_text(each), encoding="utf-8")
