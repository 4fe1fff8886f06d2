"""Signals to ranges: properties that hold whatever the signals are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from envpin.inference.combine import Signal, Strength, combine
from envpin.inference.versions import Known, known_releases, parse

RELEASES = Known(
    package="peft",
    versions=("0.8.0", "0.8.2", "0.9.0", "0.10.0", "0.11.0", "0.11.1", "0.12.0"),
    dates={},
)
STRENGTHS: tuple[Strength, ...] = ("hard", "strong", "weak")


def signal(admits: frozenset[str], strength: Strength = "strong", *, stated: bool = False, says: str = "x") -> Signal:
    return Signal(package="peft", strength=strength, file="f", says=says, admits=admits, stated=stated)


SIGNALS = st.lists(
    st.builds(
        signal,
        st.frozensets(st.sampled_from(RELEASES.versions)),
        st.sampled_from(STRENGTHS),
        stated=st.booleans(),
        says=st.text(max_size=3),
    ),
    max_size=8,
)


@given(SIGNALS)
def test_agreeing_signals_give_their_intersection(signals: list[Signal]) -> None:
    judging = [one for one in signals if one.admits and one.strength != "weak"]
    together = frozenset(RELEASES.versions).intersection(*(one.admits for one in judging))
    found = combine(signals, RELEASES)
    assert found.versions
    if together:
        assert set(found.versions) == together
        assert all(not one.admits for one in found.against)
    else:
        assert any(one.admits for one in found.against)


@given(SIGNALS, st.randoms())
def test_the_order_does_not_matter(signals: list[Signal], random: object) -> None:
    shuffled = list(signals)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = combine(signals, RELEASES), combine(shuffled, RELEASES)
    assert one.versions == other.versions
    assert sorted(map(repr, one.against)) == sorted(map(repr, other.against))


@given(SIGNALS)
def test_a_signal_that_lets_in_the_answer_changes_nothing(signals: list[Signal]) -> None:
    found = combine(signals, RELEASES)
    again = combine([*signals, signal(frozenset(found.versions), "hard")], RELEASES)
    assert again.versions == found.versions


@given(SIGNALS)
def test_weak_signals_never_exclude(signals: list[Signal]) -> None:
    firm = [one for one in signals if one.strength != "weak"]
    assert combine(signals, RELEASES).versions == combine(firm, RELEASES).versions


@given(SIGNALS, st.frozensets(st.sampled_from(RELEASES.versions), min_size=1))
def test_one_hard_bound_outweighs_all_that_is_strong(signals: list[Signal], bound: frozenset[str]) -> None:
    strong = [one for one in signals if one.strength == "strong"]
    assert set(combine([*strong, signal(bound, "hard")], RELEASES).versions) <= bound


@given(st.text(max_size=80) | st.sampled_from(["NaN", "9999", "0.18.0.dev0@abc", "1!2.0", "0.0.0.0.0.0", "v4.38"]))
def test_a_stated_version_is_a_known_release_or_nothing(text: str) -> None:
    for releases in known_releases().values():
        found = releases.stated(text)
        assert found <= releases.everything
        parsed = parse(text)
        if len(found) > 1:
            assert parsed is not None
            if not parsed.is_prerelease:
                assert {Version(one).release[:2] for one in found} == {parsed.release}
                continue
            assert len(found) == 2
            low, high = sorted(map(Version, found))
            assert low < parsed < high


@given(st.frozensets(st.sampled_from(RELEASES.versions)))
def test_a_set_in_words_names_its_ends(versions: frozenset[str]) -> None:
    text = RELEASES.describe(versions)
    if not versions:
        assert text == "none"
    elif len(versions) == len(RELEASES.versions):
        assert text == "any"
    else:
        ordered = RELEASES.ordered(versions)
        assert ordered[0] in text or text.startswith("≤")
        assert " or " in text or "to" in text or text[0] in "≥≤" or len(versions) == 1


def test_a_development_version_stands_between_two_releases() -> None:
    transformers = known_releases()["transformers"]
    assert transformers.stated("4.38.0.dev0") == {"4.37.2", "4.38.0"}
    assert known_releases()["torch"].stated("2.1.0+cu121") == {"2.1.0"}
    assert known_releases()["peft"].stated("0.18.1.dev0@6e0a5d1c") == {"0.18.0", "0.18.1"}
    assert known_releases()["peft"].stated("0.17.2.dev0@6e0a5d1c") == {"0.17.1", "0.18.0"}  # 0.17.2 never came


def test_a_number_of_two_parts_is_a_series() -> None:
    assert known_releases()["peft"].stated("0.11") == {"0.11.0", "0.11.1"}
