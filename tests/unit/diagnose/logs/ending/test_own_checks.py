"""A bare `assert` of a script: what it compares tells the cause."""

from __future__ import annotations

import pytest

from tests.support.logs import answer

LOG = """
Traceback (most recent call last):
  File "/home/user/nanogpt/train.py", line 210, in <module>
    main()
  File "/home/user/nanogpt/model.py", line 174, in forward
    assert {condition}
AssertionError
"""


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("seq_len % window == 0", "inputs-do-not-fit"),
        ("x.shape[-1] == self.n_embd", "inputs-do-not-fit"),
        ("len(texts) == len(labels)", "data-not-as-expected"),
    ],
)
def test_a_bare_assert_is_quoted_with_its_cause(condition: str, code: str) -> None:
    codes, text = answer(LOG.format(condition=condition))
    assert codes == [code]
    assert f"asserts `{condition}`" in text


def test_a_bare_assert_of_nothing_known_has_no_cause() -> None:
    assert answer(LOG.format(condition="ok"))[0] == []
