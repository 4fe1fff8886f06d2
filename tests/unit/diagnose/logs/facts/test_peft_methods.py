"""A method that peft does not know speaks of the releases that do."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.facts.peft_methods import explain_method

NEWER, OLDER = "adapter-needs-newer-peft", "adapter-needs-older-peft"


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("KeyError: 'RANDLORA'", NEWER, "from 0.16.0 on"),
        ("KeyError: <PeftType.MISS: 'MISS'>", NEWER, "from 0.17.0 on"),
        ("ValueError: 'MISS' is not a valid PeftType", NEWER, "from 0.17.0 on"),
        ("KeyError: 'BONE'", OLDER, "from 0.14.0 to 0.18.1, and no longer from 0.19.0 on"),
        ("ValueError: 'NO_SUCH' is not a valid PeftType", NEWER, "no release of peft that was looked at"),
    ],
)
def test_the_releases_of_a_method_are_named(line: str, code: str, says: str) -> None:
    found = explain_method(line)
    assert found is not None
    assert (found.code, says in found.says) == (code, True), found


@pytest.mark.parametrize(
    "line", ["KeyError: 'LORA'", "KeyError: 'ID'", "KeyError: 'q_proj'", "KeyError: 'DESCRIPTION'"]
)
def test_a_key_that_is_no_method_or_that_every_release_has_is_left_alone(line: str) -> None:
    assert explain_method(line) is None
