"""The posterior against a brute-force reading of Bayes' rule."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envpin.bisect.search.belief import NOISE, Belief, Tally, believe, information


def by_hand(prior: list[float], tallies: dict[int, Tally], noisy_share: float) -> list[float]:
    models = [(1.0, 0.0, 1 - noisy_share)] + [(new, old, noisy_share / len(NOISE)) for new, old in NOISE]
    weights = [0.0]
    for k in range(1, len(prior)):
        total = 0.0
        for new, old, share in models:
            likelihood = 1.0
            for index, tally in tallies.items():
                rate = new if index >= k else old
                likelihood *= rate**tally.after * (1 - rate) ** tally.before
            total += share * likelihood
        weights.append(prior[k] * total)
    return [weight / sum(weights) for weight in weights]


cases = st.integers(2, 12).flatmap(
    lambda size: st.tuples(
        st.lists(st.floats(0.1, 10), min_size=size, max_size=size),
        st.dictionaries(
            st.integers(0, size - 1),
            st.builds(Tally, before=st.integers(0, 3), after=st.integers(0, 3)),
            max_size=size,
        ),
    )
)


@settings(deadline=None)
@given(cases, st.sampled_from([0.1, 1.0]))
def test_the_posterior_is_bayes_rule(case: tuple[list[float], dict[int, Tally]], share: float) -> None:
    prior, tallies = case
    belief = believe(prior, tallies, noisy_share=share)
    assert belief.weight == pytest.approx(by_hand(prior, tallies, share), abs=1e-9)
    assert math.fsum(belief.weight) == pytest.approx(1.0)


def entropy(weights: list[float]) -> float:
    total = sum(weights)
    return -sum(w / total * math.log2(w / total) for w in weights if w > 0)


@settings(deadline=None)
@given(cases)
def test_information_is_the_expected_fall_in_entropy(case: tuple[list[float], dict[int, Tally]]) -> None:
    prior, tallies = case
    belief = believe(prior, tallies, noisy_share=1.0)
    bits = information(belief)
    for index in range(len(prior)):
        assert bits[index] == pytest.approx(expected_fall(belief, index), abs=1e-6)


def expected_fall(belief: Belief, index: int) -> float:
    after = [belief.shows_after_new[k] if k <= index else belief.shows_after_old[k] for k in range(len(belief.weight))]
    before = [max(0.0, w - a) for w, a in zip(belief.weight, after, strict=True)]
    now = entropy(list(belief.weight))
    left = sum(sum(part) * entropy(part) for part in (after, before) if sum(part) > 1e-12)
    return max(0.0, now - left)


def test_without_noise_a_contradiction_leaves_nothing_and_does_not_crash() -> None:
    tallies = {1: Tally(after=1), 3: Tally(before=1)}
    assert set(believe([1.0] * 5, tallies, noisy_share=0.0).weight) == {0.0}
