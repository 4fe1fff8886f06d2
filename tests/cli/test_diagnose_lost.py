"""A verdict keeps its exit status where its words cannot be written, and says that they are lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_verdict_that_is_lost_is_said(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("nothing of note\n", encoding="utf-8")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "envpin", "diagnose", log],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the answer could not be written to stdout")
