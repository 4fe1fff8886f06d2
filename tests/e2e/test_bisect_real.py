"""One real search over real releases, from the package index: the release that learned to read Llama 3.1's config."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_the_release_that_reads_llama_3_1_is_found_in_two_probes(tmp_path: Path) -> None:
    command = ["bisect", "transformers", "--good", "4.44.2", "--bad", "4.41.0", "--find", "fixed", "--no-prefetch",
               "--family", "llama3.1", "--probe", "config", "--python", "3.11", "--json"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "envpin", *command], env={**os.environ, "ENVPIN_HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["before"], answer["after"], answer["certain"]) == ("4.42.4", "4.43.0", True)
    assert answer["narrowing"] == 2 < answer["halving"]
    assert "rope type `llama3` appears" in answer["reason"]
    assert "`rope_scaling` must be a dictionary" in answer["error"]
    touched = {change["path"] for change in answer["changed_files"] if change.get("touches")}
    assert "transformers/models/llama/configuration_llama.py" in touched
