"""What a sweep is made of: environments, families, crossings; and how long it takes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envpin.core.errors import InputError, UsageError
from envpin.matrix.load import load_matrix
from envpin.matrix.recipes import family_of, load_recipes
from envpin.matrix.support import load_support
from envpin.sweep.plan import SweepPlan, choose_families, plan_sweep, releases_of, wanted_steps

MATRIX, SUPPORT = load_matrix(), load_support()


RECIPES = load_recipes()


def plan(*names: str, releases: str = "", **how: object) -> SweepPlan:
    families = choose_families(names, MATRIX.families, RECIPES)
    wanted = releases_of([releases], SUPPORT) if releases else ()
    return plan_sweep(families, SUPPORT, releases=wanted, **how)  # type: ignore[arg-type]


def test_without_releases_each_family_climbs_in_its_own_known_good_environments() -> None:
    made = plan("llama3.1", "qwen2.5", "qwen2-vl")
    for name in ("llama3.1", "qwen2.5", "qwen2-vl"):
        own = {tuple(good.packages.items()) for good in MATRIX.families[name].known_good}
        assert {pins.packages for pins, names in made.climbs.items() if name in names} == own
    locks = {pins.lock for pins, names in made.climbs.items() if "llama3.1" in names}
    assert MATRIX.families["llama3.1"].lock in locks


def test_a_release_is_tried_with_what_is_known_good_else_with_what_was_of_its_time() -> None:
    made = plan("llama3.1", releases="4.43.1,4.49.0")
    one, other = made.climbs
    assert dict(one.packages) == MATRIX.families["llama3.1"].pins
    assert (other.transformers, dict(other.packages)["peft"], other.python) == ("4.49.0", "0.14.0", "3.11")
    assert other.exclude_newer == "2025-03-10"


def test_what_is_held_holds_everywhere_and_takes_its_own_time_with_it() -> None:
    made = plan("llama3.1", releases="4.43.1", held=("torch==2.13.0", "numpy<2"))
    (pins,) = made.climbs
    assert dict(pins.packages)["torch"] == "2.13.0"
    assert (pins.bounds, pins.lock) == (("numpy<2",), None)
    assert pins.exclude_newer == "2026-07-15", "a week after torch 2.13.0 appeared"
    kept = plan("llama3.1", releases="4.43.1", held=("torch==2.4.0",))
    assert [one.lock for one in kept.climbs] == [MATRIX.families["llama3.1"].lock], "nothing was changed"
    with pytest.raises(UsageError, match="transformers is not held"):
        plan("llama3.1", releases="4.43.1", held=("transformers==4.44.0",))


def test_a_range_gives_the_last_patch_of_each_series_that_was_not_yanked() -> None:
    assert releases_of([">=4.51,<4.54"], SUPPORT) == ("4.51.3", "4.52.4", "4.53.3")
    assert releases_of(["4.51.3,4.43.1", "4.52.0"], SUPPORT) == ("4.43.1", "4.51.3", "4.52.0")
    for spec in ("4.43.99", ">=99", "new", ""):
        with pytest.raises(UsageError):
            releases_of([spec], SUPPORT)


def test_a_capability_brings_what_it_needs() -> None:
    assert wanted_steps(()) == (("load", "forward", "generate", "train", "reload", "merge"), True)
    assert wanted_steps(("merge",)) == (("load", "train", "merge"), False)
    assert wanted_steps(("cross-merge",)) == (("load", "train"), True)
    assert wanted_steps(("forward", "load")) == (("load", "forward"), False)
    with pytest.raises(UsageError):
        wanted_steps(("fly",))


@given(st.lists(st.sampled_from([one.version for one in SUPPORT.transformers[-60:] if not one.yanked]), min_size=1,
                max_size=6, unique=True))  # fmt: skip
def test_adapters_go_into_the_next_release_the_newest_and_back(releases: list[str]) -> None:
    made = plan("gpt2", releases=",".join(releases))
    order = [pins.transformers for pins in made.climbs]
    crossed = {(one.transformers, other.transformers) for one, other in made.crossings}
    assert set(pairwise(order)) <= crossed
    assert all((one, order[-1]) in crossed and (order[-1], one) in crossed for one in order[:-1])
    assert all(one != other for one, other in crossed)
    assert len(crossed) == (3 * (len(order) - 1) - 1 if len(order) > 1 else 0)


def test_families_without_a_tiny_model_and_strangers_are_named_together() -> None:
    without = next(name for name in MATRIX.families if name not in RECIPES)
    with pytest.raises(InputError) as caught:
        choose_families([without, "gpt3", "gpt2"], MATRIX.families, RECIPES)
    assert caught.value.problems == (
        f"{without}: there is no tiny model of it", "gpt3: is not a family of the matrix"
    )  # fmt: skip
    chosen = [one.id for one in choose_families([], MATRIX.families, RECIPES)]
    assert chosen == sorted(name for name in RECIPES if family_of(name) in MATRIX.families)
    assert {"llama3.1", "llama3.1/own-head-dim"} <= {*chosen}, "and shapes of families"
