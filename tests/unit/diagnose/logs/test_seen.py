"""The Hub is a cause only where the run stopped because of it."""

from __future__ import annotations

import io

from envpin.diagnose.logs.reader import diagnose_log
from envpin.diagnose.logs.seen import Seen, raise_what_ended_it

HUB = (
    "'[Errno -2] Name or service not known' thrown while requesting HEAD "
    "https://huggingface.co/org/base-7b/resolve/main/config.json\n"
    "could not load it: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in "
    "the cached files.\n"
)
FRAME = 'Traceback (most recent call last):\n  File "/home/user/proj/eval_lora.py", line 4, in <module>\n    {}\n{}\n'


def test_the_hub_comes_last_where_another_error_ended_the_run() -> None:
    error = FRAME.format('text = row["prompt"]', "KeyError: 'prompt'")
    findings = diagnose_log(io.BytesIO((HUB + error).encode())).findings
    assert findings[0].code == "data-not-as-expected"
    assert all(one.severity != "blocker" for one in findings if one.code == "base-not-found")


def test_the_hub_stays_the_cause_of_a_name_that_the_load_was_to_set() -> None:
    error = FRAME.format("model.eval()", "NameError: name 'model' is not defined")
    findings = diagnose_log(io.BytesIO((HUB + error).encode())).findings
    assert (findings[0].code, findings[0].severity) == ("base-not-found", "blocker")


def test_what_was_looked_for_on_the_hub_is_named() -> None:
    assert "`org/base-7b`" in diagnose_log(io.BytesIO(HUB.encode())).findings[0].message


def test_a_note_that_a_model_has_no_adapter_is_no_cause() -> None:
    note = (
        "404 Client Error. Entry Not Found for url: https://huggingface.co/bert/b/resolve/main/adapter_config.json.\n"
    )
    error = FRAME.format('text = row["prompt"]', "KeyError: 'prompt'")
    assert diagnose_log(io.BytesIO((note + error).encode())).findings[0].code == "data-not-as-expected"


def test_a_guess_that_ends_a_log_stays_a_warning() -> None:
    said = Seen("warning", [(3, "ValueError: x")], last=3)
    guess = Seen("warning", [(3, "ValueError: x")], last=3, guess=True)
    raise_what_ended_it([said], 4)
    raise_what_ended_it([guess], 4)
    assert (said.severity, guess.severity) == ("blocker", "warning")
