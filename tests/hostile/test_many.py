"""Ten thousand checkpoints in one recorded run."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tests.support.command import envpin
from tests.support.killing import write_training

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 10_000 if os.environ.get("ENVPIN_TEST_ALL") else 40


def test_every_checkpoint_of_a_long_run_is_recorded(tmp_path: Path) -> None:
    write_training(tmp_path, COUNT, pause=0.0)
    ran = envpin("record", "--", sys.executable, "train.py", cwd=tmp_path, env={"TMPDIR": str(tmp_path)})
    assert ran.status == 0, ran.stderr[-2000:]
    assert ran.stderr.count("recorded out/checkpoint-") == COUNT
    assert len(list(tmp_path.glob("out/*/envpin.json"))) == COUNT
    assert not list(tmp_path.glob("envpin-*"))
