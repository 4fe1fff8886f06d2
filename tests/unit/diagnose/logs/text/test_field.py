"""What any program prints counts only in a log that shows this field."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.text.field import shows_the_field
from tests.support.logs import codes

OWN = '  File "/home/me/run.py", line 3, in <module>\n    text = open(path).read()\n'
LOST = f"Traceback (most recent call last):\n{OWN}FileNotFoundError: [Errno 2] No such file or directory: "


@pytest.mark.parametrize(
    ("path", "code"),
    [("prompts/system.txt", "data-not-as-expected"), ("out/lora/notes.txt", "adapter-not-found"),
     ("models/base/readme.txt", "base-not-found")],
)  # fmt: skip
def test_a_file_that_a_script_opens(path: str, code: str) -> None:
    assert codes(f"{LOST}'{path}'\n") == []
    assert codes(f"trainable params: 8 || all params: 16\n{LOST}'{path}'\n") == [code]


def test_what_shows_the_field() -> None:
    assert shows_the_field(b'  File "/x/site-packages/trl/trainer/a.py", line 3, in f')
    assert shows_the_field(b"from peft import LoraConfig")
    assert not shows_the_field(b'  File "/x/site-packages/django/db/models.py", line 3, in f\nimport peftify')
