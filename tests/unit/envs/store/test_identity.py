"""Identity: the same question has the same key, and nothing that changes the outcome is left out of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envpin.envs.locks.lock import Lock
from envpin.envs.store.identity import EnvironmentSpec, environment_key

PLATFORM = {"system": "linux", "machine": "x86_64", "libc": "glibc 2.36"}
names = st.text(min_size=1, max_size=20)


def spec(
    *, name: str = "x", text: str = "a = 1", python: str = "3.11", settings: dict[str, str] | None = None
) -> EnvironmentSpec:
    return EnvironmentSpec(
        name=name, lock=Lock(text=text), python=python, settings=tuple(sorted((settings or {}).items()))
    )


@given(names, names)
def test_what_people_call_it_does_not_count(one: str, other: str) -> None:
    assert environment_key(spec(name=one), platform=PLATFORM) == environment_key(spec(name=other), platform=PLATFORM)


@given(st.dictionaries(names, names, min_size=1))
def test_every_setting_and_platform_fact_counts(facts: dict[str, str]) -> None:
    plain = environment_key(spec(), platform=PLATFORM)
    assert environment_key(spec(settings=facts), platform=PLATFORM) != plain
    assert environment_key(spec(), platform={**PLATFORM, **{f"x{key}": value for key, value in facts.items()}}) != plain


def test_lock_and_python_count() -> None:
    keys = {
        environment_key(one, platform=PLATFORM)
        for one in (spec(), spec(text="a = 2"), spec(python="3.12"), spec(python="3.11.7"))
    }
    assert len(keys) == 4


def test_the_order_of_facts_does_not() -> None:
    turned = dict(reversed(PLATFORM.items()))
    assert environment_key(spec(), platform=PLATFORM) == environment_key(spec(), platform=turned)


def test_a_key_names_one_folder() -> None:
    key = environment_key(spec(), platform=PLATFORM)
    assert len(key) == 24
    assert set(key) <= set("0123456789abcdef")
