"""The question of a search: what it needs installed, and the digest by which the same command finds its log again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from envpin.bisect.question import ProbeQuestion, Question, contents_digest, digest
from envpin.core.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

QUESTION = Question(
    package="peft", old="0.11.0", new="0.12.0", find="broke", probe=ProbeQuestion(action="merge"), python="3.11"
)


@pytest.mark.parametrize(
    ("action", "needed"),
    [
        ("config", ("transformers",)),
        ("load", ("torch", "transformers")),
        ("forward", ("torch", "transformers")),
        ("generate", ("torch", "transformers")),
        ("train", ("torch", "transformers", "peft")),
        ("load-adapter", ("torch", "transformers", "peft")),
        ("merge", ("torch", "transformers", "peft")),
        (None, ()),
    ],
)
def test_requirements_are_those_of_the_action(action: str | None, needed: tuple[str, ...]) -> None:
    question = msgspec.structs.replace(QUESTION, package="tokenizers", probe=ProbeQuestion(action=action))
    assert question.requirements == needed


def test_requirements_name_each_package_once_pins_first() -> None:
    question = msgspec.structs.replace(QUESTION, held=("Torch==2.4.0",), also=("accelerate", "peft"))
    assert question.requirements == ("Torch==2.4.0", "transformers", "accelerate")


def test_good_and_bad_follow_from_what_is_searched() -> None:
    assert (QUESTION.good, QUESTION.bad) == ("0.11.0", "0.12.0")
    fixed = msgspec.structs.replace(QUESTION, find="fixed")
    assert (fixed.good, fixed.bad) == ("0.12.0", "0.11.0")


@pytest.mark.parametrize(
    "change",
    [{"old": "0.10.0"}, {"find": "fixed"}, {"python": "3.12"}, {"held": ("torch==2.4.0",)}, {"expect": "x"},
     {"probe": ProbeQuestion(action="load")}, {"timeout": 3.0}],
)  # fmt: skip
def test_identity_names_another_search_for_each_change(change: dict[str, object]) -> None:
    assert msgspec.structs.replace(QUESTION, **change).identity != QUESTION.identity


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


def test_contents_digest_follows_bytes_and_names(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    first = contents_digest((str(folder),))
    assert first == contents_digest((str(folder),))
    (folder / "a").write_bytes(b"2")
    second = contents_digest((str(folder),))
    (folder / "a").rename(folder / "b")
    assert len({first, second, contents_digest((str(folder),))}) == 3
    assert contents_digest(()) is None


def test_contents_digest_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        contents_digest((str(tmp_path / "nowhere"),))
