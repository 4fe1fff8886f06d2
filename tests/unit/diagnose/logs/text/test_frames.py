"""Whose file a frame is of."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.text.frames import frames_of


@pytest.mark.parametrize(
    ("path", "library"),
    [
        ("/home/me/aura/src/aura/data/datasets/asr.py", None),
        ("C:\\me\\evaluate\\metrics.py", None),
        ("/home/me/datasets/src/datasets/arrow_dataset.py", "datasets"),
        ("datasets/arrow_dataset.py", "datasets"),
        ("/venv/lib/python3.11/site-packages/datasets/load.py", "datasets"),
        ("/home/me/peft/src/peft/config.py", "peft"),
    ],
)
def test_a_folder_called_like_a_library_is_the_programs(path: str, library: str | None) -> None:
    assert [one.library for one in frames_of(f'  File "{path}", line 3, in f\n')] == [library]
