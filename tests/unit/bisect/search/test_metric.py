"""When a release with a noisy number is clear, and when it is not."""

from __future__ import annotations

import pytest

from envpin.bisect.search.metric import MOST, separate, side_of

GOOD, BAD = [1.0, 1.01, 0.99, 1.0, 1.005, 0.995], [2.0, 2.01, 1.99, 2.0, 2.005, 1.995]


def test_the_limit_lies_halfway_or_where_it_is_asked_for() -> None:
    found = separate(GOOD, BAD)
    assert found is not None
    assert found.limit == pytest.approx(1.5)
    assert 0.005 < found.noise < 0.02
    asked = separate(GOOD, BAD, threshold=1.2)
    assert asked is not None
    assert asked.limit == 1.2


@pytest.mark.parametrize(
    ("good", "bad", "threshold"),
    [
        (GOOD, GOOD, None),
        (GOOD, BAD, 3.0),  # both ends are on one side of it
        ([1.0, 2.0, 0.0, 3.0, -1.0, 1.5], [1.2, 2.2, 0.2, 3.2, -0.8, 1.7], None),  # the noise hides the change
    ],
)
def test_ends_that_do_not_separate_are_said_to(good: list[float], bad: list[float], threshold: float | None) -> None:
    assert separate(good, bad, threshold=threshold) is None


def test_without_noise_one_run_is_clear_and_the_limit_itself_never_is() -> None:
    found = separate([1.0] * 6, [2.0] * 6)
    assert found is not None
    assert (found.fixed, side_of([1.0], found), side_of([2.0], found), side_of([1.5], found)) == (
        1,
        "good",
        "bad",
        None,
    )


def test_with_noise_sampling_goes_on_until_the_mean_is_clear() -> None:
    found = separate(GOOD, BAD)
    assert found is not None
    assert side_of([1.0], found) is None  # one run says nothing about its own noise
    assert side_of([1.0, 1.01], found) == "good"
    assert side_of([1.99, 2.01], found) == "bad"
    assert side_of([1.49, 1.51], found) is None
    assert side_of([1.0, 1.9, 1.1], found) is None  # noisier than either end
    assert side_of([float("nan")], found) is None


def test_a_bad_end_that_is_lower_is_as_good_as_one_that_is_higher() -> None:
    found = separate(BAD, GOOD)
    assert found is not None
    assert (side_of([2.0, 2.0], found), side_of([1.0, 1.0], found)) == ("good", "bad")
    assert found.expected <= MOST / 3
