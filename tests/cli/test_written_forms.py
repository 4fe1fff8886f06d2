"""What people wrote reads the same in every form that their tools save it in, in every command that reads it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.command import answer, envpin
from tests.support.environments import pinned
from tests.support.eras import DATA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CARD = """\
---
library_name: peft
tags:
- axolotl
- generated_from_trainer
---
# translator

axolotl version: `0.4.1`

### Framework versions

- PEFT 0.11.1
- Transformers 4.41.2
- Pytorch 2.3.0+cu121
"""
LOG = """\
Loading checkpoint shards: 100%
Traceback (most recent call last):
  File "/app/run.py", line 3, in <module>
    model = PeftModel.from_pretrained(base, "out")
TypeError: LoraConfig.__init__() got an unexpected keyword argument 'corda_config'
"""
FORMS: dict[str, Callable[[str], bytes]] = {
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "mark": lambda text: text.encode("utf-8-sig"),
    "mark, CRLF": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "UTF-16": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "UTF-16 big-endian": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 without mark": lambda text: text.encode("utf-16-le"),
    "UTF-16 big-endian without mark": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One adapter whose card ends its lines with LF."""
    folder = tmp_path_factory.mktemp("runs") / "out"
    shutil.copytree(DATA / "peft-0.14" / "plain", folder)
    (folder / "README.md").write_bytes(CARD.encode())
    return folder


def said(plain: Path, card: bytes) -> dict[str, object]:
    """What each command that reads cards says of the adapter with this card."""
    kept = (plain / "README.md").read_bytes()
    (plain / "README.md").write_bytes(card)
    try:
        scanned = answer("scan", plain.parent)
        scanned.pop("seconds", None)
        return {
            "infer": envpin("infer", "--offline", plain, "--json").stdout,
            "check": envpin("check", plain, "--json").stdout,
            "scan": scanned,
        }
    finally:
        (plain / "README.md").write_bytes(kept)


@pytest.fixture(scope="module")
def expected(plain: Path) -> dict[str, object]:
    found = said(plain, CARD.encode())
    assert '"0.11.1"' in str(found["infer"])
    assert "axolotl" in str(found["scan"])
    return found


@pytest.mark.parametrize("form", FORMS)
def test_infer_check_and_scan_read_a_card_in_every_form(plain: Path, expected: dict[str, object], form: str) -> None:
    assert said(plain, FORMS[form](CARD)) == expected


@pytest.mark.parametrize("form", FORMS)
def test_diagnose_reads_a_log_in_every_form(tmp_path: Path, form: str) -> None:
    (tmp_path / "lf.log").write_bytes(LOG.encode())
    (tmp_path / "form.log").write_bytes(FORMS[form](LOG))
    expected = answer("diagnose", tmp_path / "lf.log")
    assert expected["recognised"]
    assert answer("diagnose", tmp_path / "form.log") == expected


@pytest.mark.parametrize("form", FORMS)
def test_attach_compares_the_versions_of_a_card_in_every_form(plain: Path, tmp_path: Path, form: str) -> None:
    shutil.copytree(plain, tmp_path / "out")
    (tmp_path / "out" / "README.md").write_bytes(FORMS[form](CARD))
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    for key in ("eva_config", "exclude_modules", "lora_bias"):  # of 0.14, which refute this environment
        del config[key]
    (tmp_path / "out" / "adapter_config.json").write_text(json.dumps(config))
    completed = envpin("record", "--attach", tmp_path / "out", "--python", pinned("peft012").python, "--json")
    assert completed.status == 0, completed.stdout + completed.stderr
    warnings = json.loads(completed.stdout)["warnings"]
    assert "README.md says peft 0.11.1, the environment has 0.12.0" in warnings
