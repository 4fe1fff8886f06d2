"""Which of several families that fit a config is named: the four steps of the ranking, each against the one below."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envpin.matrix.match import Match, match
from envpin.matrix.names import name_match
from envpin.matrix.types import Family, Matrix, Recognition, Sign

HERE, ELSEWHERE = Sign(path="here", equals=1), Sign(path="elsewhere", equals=1)
CONFIG = {"model_type": "kind", "here": 1}


def family(
    name: str, *, require: int = 0, named: bool = False, decided: int = 0, supporting: int = 0, other: int = 0
) -> Family:
    """A family of the type `kind` with so many signs that hold; `other` weaker ones do not."""
    recognition = Recognition(
        model_type=("kind",),
        require=(HERE,) * require,
        decisive=(HERE,) * decided,
        support=(HERE,) * supporting + (ELSEWHERE,) * other,
        names=("model",) if named else ("another",),
    )
    return Family(title=name, id=name, match=recognition)


def among(*families: Family, name: str | None = "my-model") -> Match:
    return match(CONFIG, name, Matrix(schema=1, families={one.id: one for one in families}))


@pytest.mark.parametrize(
    ("better", "worse", "reason"),
    [
        ({"require": 2}, {"require": 1, "named": True, "decided": 3, "supporting": 9}, "fits too, but says less"),
        ({"named": True}, {"decided": 1, "supporting": 9}, "fits too; the name decides"),
        ({"decided": 1}, {"supporting": 9}, "fits too; fewer of its weaker signs hold"),
        ({"supporting": 2}, {"supporting": 1, "other": 9}, "fits too; fewer of its weaker signs hold"),
        ({"supporting": 1}, {"supporting": 0}, "fits too; fewer of its weaker signs hold"),
        ({"decided": 1}, {"decided": 0}, "fits too; fewer of its weaker signs hold"),
    ],
)
def test_match_ranks_by_each_step_before_the_next(better: dict[str, int], worse: dict[str, int], reason: str) -> None:
    one, other = family("better", **better), family("worse", **worse)  # type: ignore[arg-type]
    for order in itertools.permutations((one, other)):
        found = among(*order)
        assert found.family == one
        assert [(considered.family, considered.reason) for considered in found.considered] == [("worse", reason)]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=5)
)
def test_match_names_the_first_of_the_highest_rank(ranks: list[tuple[int, bool, int, int]]) -> None:
    families = [
        family(f"f{at}", require=require, named=named, decided=decided, supporting=supporting)
        for at, (require, named, decided, supporting) in enumerate(ranks)
    ]
    keys = [(require, named, decided > 0, supporting) for require, named, decided, supporting in ranks]
    found = among(*families)
    assert found.family == families[keys.index(max(keys))]


@pytest.mark.parametrize(
    ("best", "rival", "certainty"),
    [
        ({"supporting": 1}, {}, "ambiguous"),  # weaker signs choose, but they do not make it sure
        ({"decided": 1}, {}, "exact"),
        ({"named": True}, {}, "exact"),
        ({"require": 2}, {"require": 1}, "exact"),
    ],
)
def test_match_is_ambiguous_where_only_weaker_signs_chose(
    best: dict[str, int], rival: dict[str, int], certainty: str
) -> None:
    found = among(family("best", **best), family("rival", **rival))  # type: ignore[arg-type]
    assert (found.certainty, found.alternatives) == (certainty, ("rival",) if certainty == "ambiguous" else ())


def test_name_match_counts_the_letters_of_the_longest_pattern() -> None:
    named = Family(title="x", match=Recognition(names=("llama", "llama-?3", "gemma")))
    assert name_match(named.match, "My-LLAMA-3-8b") == len("llama-3")
    assert name_match(named.match, "a-llama") == len("llama")
    assert name_match(named.match, "qwen") == name_match(named.match, None) == 0


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("medllama-3", 0), ("llama-3b-chat", 0), ("llama-3.5b", 0), ("llama-3.9-8b", 0), ("llava-llama-3", 0),
        ("Llama-3-8B-Vision", 0), ("4x8b-llama-3", 0), ("internvl-llama-3", 0), ("vision/llama-3-8b", len("llama-3")),
        ("x-llama-3-70b", len("llama-3")), ("hermes_llama-3", len("llama-3")),
    ],
)  # fmt: skip
def test_name_match_is_vetoed_by_other_words_and_sizes(name: str, letters: int) -> None:
    named = Recognition(model_type=("llama",), names=("llama-3",))
    assert name_match(named, name) == letters


def test_name_match_does_not_veto_what_the_pattern_covers() -> None:
    assert name_match(Recognition(names=("qwen2-vl",)), "Qwen/Qwen2-VL-7B") == len("qwen2-vl")
