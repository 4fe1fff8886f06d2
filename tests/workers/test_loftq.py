"""LoftQ adapters, which peft loads by quantizing the base again: what this needs, and what is said where it lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.workers.test_stream import WORKERS, run_inside

INSIDE = Path(__file__).with_name("loftq_inside.py")


@pytest.mark.parametrize(
    ("environment", "bits", "kind", "words"),
    [
        ("qlora", "8", "needs-packages", "peft 0.18.0 needs `scipy`"),
        ("qlora", "4", "needs-gpu", "peft 0.18.0 does on a GPU only"),
        ("peft012", "2", "needs-packages", "peft 0.12.0 needs `bitsandbytes` and `scipy`"),
        ("latest", "8", "needs-gpu", "peft 0.21.2 does on a GPU only"),
    ],
)
def test_loftq_is_refused_by_what_this_machine_or_environment_lacks(
    environment: str, bits: str, kind: str, words: str, tmp_path: Path
) -> None:
    out = tmp_path / "said.json"
    run_inside(environment, INSIDE, WORKERS, tmp_path, out, bits)
    said = json.loads(out.read_text(encoding="utf-8"))[bits]
    assert said[0] == kind
    assert words in said[1]
