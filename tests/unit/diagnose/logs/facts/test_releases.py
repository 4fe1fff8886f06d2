"""Which release an answer names: the one of the log, or the newest that was read."""

from __future__ import annotations

from envpin.diagnose.logs.facts.releases import release_words, stated_releases


def test_releases_are_read_as_logs_state_them() -> None:
    text = "Transformers version: 4.53.2\ntrl==0.22.2\npeft                      0.17.1\nunsloth_zoo==2025.3.4\n"
    assert stated_releases(text) == {
        "transformers": "4.53.2", "trl": "0.22.2", "peft": "0.17.1", "unsloth-zoo": "2025.3.4"
    }  # fmt: skip


def test_a_stated_release_is_named_with_what_it_asks_for() -> None:
    told = release_words("trl", "trl==0.13.0\ntransformers==4.40.0")
    assert told is not None
    assert "transformers 4.40.0, trl 0.13.0" in told
    assert "asks for transformers >=4.46.0" in told


def test_without_one_the_newest_that_was_read_is_named() -> None:
    told = release_words("trl", "no versions here")
    assert told is not None
    assert "trl 1." in told
    assert release_words("a-package-that-was-not-read", "") is None
