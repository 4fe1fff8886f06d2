"""LoftQ adapters, which peft loads by quantizing the base again: what this needs, and what is said where it lacks."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.workers.test_stream import WORKERS, run_inside

INSIDE = Path(__file__).with_name("loftq_inside.py")


# environment, bits -> the kind of the refusal, and words of it
REFUSED = {
    ("qlora", "8"): ("needs-packages", "peft 0.18.0 needs `scipy`"),
    ("qlora", "4"): ("needs-gpu", "peft 0.18.0 does on a GPU only"),
    ("peft012", "2"): ("needs-packages", "peft 0.12.0 needs `bitsandbytes` and `scipy`"),
    ("latest", "8"): ("needs-gpu", "peft 0.21.2 does on a GPU only"),
}


@cache
def said(environment: str) -> dict[str, tuple[str, str]]:
    with TemporaryDirectory(prefix="envpin-loftq-") as folder:
        out = Path(folder, "said.json")
        run_inside(
            environment, INSIDE, WORKERS, folder, out, *(bits for where, bits in REFUSED if where == environment)
        )
        found: dict[str, tuple[str, str]] = json.loads(out.read_text(encoding="utf-8"))
    return found


@pytest.mark.xdist_group("loftq")
@pytest.mark.parametrize(("environment", "bits"), REFUSED)
def test_loftq_is_refused_by_what_this_machine_or_environment_lacks(environment: str, bits: str) -> None:
    kind, words = said(environment)[bits]
    assert kind == REFUSED[environment, bits][0]
    assert REFUSED[environment, bits][1] in words
