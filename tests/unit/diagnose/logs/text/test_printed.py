"""Tracebacks of notebooks that are cut or put together keep their frames, and what is said below them."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.text.printed import as_python_prints

HEAD = "NotImplementedError                       Traceback (most recent call last)\n"
FRAMES = (
    "File C:\\work\\.venv\\Lib\\site-packages\\unsloth\\__init__.py:91\n"
    "---> 91     import unsloth_zoo\n     92 except:\n\n"
    "File C:\\work\\.venv\\Lib\\site-packages\\unsloth_zoo\\device_type.py:30, in get_device_type()\n"
    "---> 30     raise NotImplementedError\n\n"
)


@pytest.mark.parametrize("said", ["ImportError: Please install it", "the versions are below", ""])
@pytest.mark.parametrize("end", ["", "\n"])
def test_what_stands_below_a_notebooks_frames_stays(said: str, end: str) -> None:
    printed = as_python_prints(f"{HEAD}{FRAMES}{said}{end}".encode()).decode()
    assert 'unsloth_zoo/device_type.py", line 30, in get_device_type' in printed
    assert 'unsloth/__init__.py", line 91, in <module>' in printed
    assert said in printed
    assert printed.count("\n") == f"{HEAD}{FRAMES}{said}{end}".count("\n")
