"""One error has one answer, in whatever form a terminal, a container, a notebook or a test runner prints it."""

from __future__ import annotations

import hashlib
import io
import re
import tomllib
from pathlib import Path

import pytest

from envpin.diagnose.logs.reader import diagnose_log
from envpin.diagnose.logs.text.blocks import blocks_of
from tests.support.log_forms import FORMS

DATA = Path(__file__).resolve().parents[1] / "data" / "runs"
_RUNS = [run for path in sorted(DATA.glob("*.toml")) for run in tomllib.loads(path.read_text(encoding="utf-8"))["run"]]
LOGS = {run["name"]: run["log"] for run in _RUNS if "Traceback (most" in run["log"] and len(run["log"]) < 20_000}
# One in 23 of them, by a digest that a new set does not change: all take minutes.
SOME = {name: log for name, log in sorted(LOGS.items()) if hashlib.sha256(name.encode()).digest()[0] % 23 == 0}
# The forms in which these have another answer so far. In a notebook the path of the script is not shown, by which a log
# is known to be of this field; of `trl-sft-attn` a rule tells what is a guess by likeness otherwise. pytest prints more
# lines of each frame, so that the one which tells of `qlora-ex-dtype-transformers-452` is too far above.
_IN_A_NOTEBOOK = {
    "fine-tuning-llama-2-7b--llma-n", "srt-mergekit-none", "whisper-finetune-merge-wrong-path", "rajnllb-cuda",
    "atramentum-merge-no-logs",
}  # fmt: skip
# A line of pydantic below the error, which is read as one where it begins with two spaces alone; both say the setting.
_OF_PYDANTIC = {"synth-eval-steps"}
DIFFER: dict[str, set[str]] = {
    "colab": _IN_A_NOTEBOOK, "notebook": _IN_A_NOTEBOOK, "json-records": {"anurag-eval-novocab"},
    "loguru": {"tript-winpath"}, "rich": {"uer-bert-distil", "atramentum-merge-no-logs"},
    "pytest": {"atramentum-merge-no-logs", "qlora-ex-dtype-transformers-452", *_OF_PYDANTIC},
    "indented": _OF_PYDANTIC, "launcher": _OF_PYDANTIC,
    "tabbed": _OF_PYDANTIC, "two-ranks": _OF_PYDANTIC,
}  # fmt: skip


def answered(log: str) -> list[tuple[str, str]]:
    """Codes and sentences, whatever a form makes of paths and of how often a line is printed."""
    return [(one.code, _plain(one.message)) for one in diagnose_log(io.BytesIO(log.encode())).findings]


def _plain(message: str) -> str:
    counted = re.sub(r" \(\d+ lines?\)|\d+% by weight", "", message)
    return counted.replace("\\", "/").replace("dist-packages", "site-packages")


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_of_a_log_has_the_answer_of_the_plain_one(form: str) -> None:
    both = {name: (answered(log), answered(FORMS[form](log))) for name, log in SOME.items()}
    other = {name: answers for name, answers in both.items() if answers[0] != answers[1]}
    assert set(other) == DIFFER.get(form, set()), other


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"json-records", "launcher"}))
def test_lines_stay_lines(form: str) -> None:
    for log in SOME.values():
        shown = FORMS[form](log).encode()
        read = b"".join(blocks_of(io.BytesIO(shown)))
        lines = shown.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")
        assert read.count(b"\n") - read.count(b"\x1f\n") == lines, form


def test_a_traceback_in_one_line_of_json_leaves_the_line_numbers() -> None:
    first = (
        '{"level": "ERROR", "exc_info": "Traceback (most recent call last):\\n  File \\"a.py\\", line 1\\nOSError: x"}'
    )
    log = f"{first}\nModuleNotFoundError: No module named 'peft'\n"
    (found,) = diagnose_log(io.BytesIO(log.encode())).findings
    assert found.evidence[0].line == 2


def test_rows_of_data_are_no_records_of_a_logger() -> None:
    rows = b'{"text": "a\\nb", "label": 1}\n{"event": "x", "time": "1"}\n'
    assert b"".join(blocks_of(io.BytesIO(rows))) == b'{"text": "a\\nb", "label": 1}\nx\n'


def test_an_error_that_rich_broke_is_whole_again() -> None:
    log = """\
╭───────────────────── Traceback (most recent call last) ──────────────────────╮
│ /home/user/finetune/2_train_model.py:221 in <module>                         │
│                                                                              │
│   220 # Create trainer                                                       │
│ ❱ 221 trainer = Seq2SeqTrainer(                                              │
│   222 │   model=model,                                                       │
╰──────────────────────────────────────────────────────────────────────────────╯
TypeError: Seq2SeqTrainer.__init__() got an unexpected keyword argument\x20
'tokenizer'
"""
    (found,) = diagnose_log(io.BytesIO(log.encode())).findings
    assert "`Seq2SeqTrainer` of transformers has no `tokenizer` from 5.0.0 on" in found.message
    assert found.evidence[0].line == 8
