"""What `diagnose` says of a log that is given as text."""

from __future__ import annotations

import io

from envpin.diagnose.logs.reader import Diagnosis, diagnose_log

SITE = "/x/lib/python3.11/site-packages"
SCRIPT = 'Traceback (most recent call last):\n  File "/srv/work/train_lora.py", line 9, in <module>\n    main()\n'


def diagnose(text: str | bytes) -> Diagnosis:
    return diagnose_log(io.BytesIO(text.encode() if isinstance(text, str) else text))


def codes(text: str | bytes) -> list[str]:
    return [one.code for one in diagnose(text).findings]


def answer(log: str) -> tuple[list[str], str]:
    """The codes, and every sentence of the answer."""
    found = diagnose(log).findings
    return [one.code for one in found], " ".join(f"{one.message} {' '.join(one.fix)}" for one in found)
