"""The known errors that travel with envpin are those that the collector makes of the judged texts and the samples."""

from __future__ import annotations

import json

from envpin.diagnose.catalogue.catalogue import load_catalogue
from tests.support.scripts import script


def test_known_errors_and_packed_signatures_are_up_to_date() -> None:
    module = script("scripts/collect_known.py")
    assert module.PACKED.read_text(encoding="utf-8") == module.packed(), "run python scripts/collect_known.py"
    written = json.loads(module.TARGET.read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(module.collected())), "run python scripts/collect_known.py"
    assert {text[0] for text in written["texts"]} - {""} <= set(load_catalogue())
