"""What Python marks below a line of code."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.text.carets import LookUp, marked_look_up

FRAME = '  File "/a/x.py", line 3, in f\n'


@pytest.mark.parametrize(
    ("code", "marks", "expected"),
    [
        ("ids.append(label2id[tags[w]])", "           ~~~~~~~~^^^^^^^^^ ", LookUp("label2id", "tags[w]")),
        ("x = row['a']", "    ~~~^^^^^", LookUp("row", "'a'")),
        ("y = total * 2", "    ~~~~~~^~~", None),
        ("f(x)", "^^^^", None),
    ],
)
def test_the_marked_look_up_is_read(code: str, marks: str, expected: LookUp | None) -> None:
    assert marked_look_up(f"{FRAME}    {code}\n    {marks}\nKeyError: ") == expected


def test_marks_of_an_outer_frame_are_not_those_of_the_last() -> None:
    before = f"{FRAME}    x = row['a']\n        ~~~^^^^^\n{FRAME}    raise KeyError(1)\nKeyError: "
    assert marked_look_up(before) is None
