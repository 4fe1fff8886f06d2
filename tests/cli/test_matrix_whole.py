"""`envpin matrix list --whole --json`: everything, as the published schema says."""

from __future__ import annotations

import json

import jsonschema

from tests.support.command import answer, envpin
from tests.support.places import ROOT

SCHEMA = ROOT / "docs" / "reference" / "matrix-whole.schema.json"


def test_the_document_follows_its_schema_and_refers_to_what_it_has() -> None:
    document = answer("matrix", "list", "--whole", "--json")
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert [error.message for error in validator.iter_errors(document)] == []
    families, runs = document["families"], document["runs"]
    assert len(families) >= 100
    assert {name for one in families.values() for name in one.get("breaks", ())} <= {*document["breaks"]}
    assert {run for one in families.values() for good in one.get("known_good", ())
            for run in good.get("evidence", ())} <= {*runs}  # fmt: skip
    assert {*document["stack"]} == {*families}
    listed = document["stack"]["qwen3-moe"]["vllm"]
    assert listed == {"names": ["Qwen3MoeForCausalLM"], "versions": listed["versions"], "strict": True}
    assert listed["versions"].startswith(">=0.8.4")
    assert document["model_types"]["qwen3_moe"][0][0] == "4.51.0"


def test_it_has_no_form_for_people_and_leaves_nothing_out() -> None:
    for options in ([], ["--json", "--grade", "load"]):
        completed = envpin("matrix", "list", "--whole", *options)
        assert completed.status == 2
        assert "hint: envpin matrix list --whole --json" in completed.stderr
