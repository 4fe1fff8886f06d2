"""The parts of the recorder that need no model: redaction, distributions, git, files of a save."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envpin.recording.injected import hook

redaction = hook("redaction")
SECRET = "zKq93hXw71LmPq0sVbT2"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--hf_token", SECRET], ["--hf_token", "[redacted]"]),
        (["--token", SECRET], ["--token", "[redacted]"]),
        (["--hub-token=" + SECRET], ["--hub-token=[redacted]"]),
        (["--password", "a b"], ["--password", "[redacted]"]),
        (["--wandb_api_key", SECRET], ["--wandb_api_key", "[redacted]"]),
        (["--apiKey=" + SECRET], ["--apiKey=[redacted]"]),
        (["AWS_SECRET_ACCESS_KEY=" + SECRET, "python"], ["AWS_SECRET_ACCESS_KEY=[redacted]", "python"]),
        (["WANDB_API_KEY=" + SECRET], ["WANDB_API_KEY=[redacted]"]),
        (["--secret", "-x"], ["--secret", "[redacted]"]),
        (["run", "hf_" + "A" * 34], ["run", "[redacted]"]),
        (["--notes", "see sk-" + "a" * 30 + " there"], ["--notes", "see [redacted] there"]),
        (["ghp_" + "a" * 36], ["[redacted]"]),
        (["AKIA" + "A" * 16], ["[redacted]"]),
        (["--data", "https://me:pw@host/x?y=1"], ["--data", "https://[redacted]@host/x?y=1"]),
        (["s3://host/a?X-Amz-Signature=abc&b=2"], ["s3://host/a?X-Amz-Signature=[redacted]&b=2"]),
        (["git+https://tok@github.com/a/b"], ["git+https://[redacted]@github.com/a/b"]),
        (["0123456789" * 4], ["[redacted]"]),
        # What is no secret stays, or the manifest would lose what a rerun needs.
        (["--tokenizer", "meta-llama/Llama-3.1-8B"], ["--tokenizer", "meta-llama/Llama-3.1-8B"]),
        (["--max_tokens", "512", "--num-tokens=3"], ["--max_tokens", "512", "--num-tokens=3"]),
        (["--tokenizer_path", "x", "--use_auth", "--lr", "1"], ["--tokenizer_path", "x", "--use_auth", "--lr", "1"]),
        (["--add_tokens", "a,b", "--key", "v"], ["--add_tokens", "a,b", "--key", "v"]),
        (["--revision", "0123456789" * 4], ["--revision", "0123456789" * 4]),
        (["--revision=" + "0123456789" * 4], ["--revision=" + "0123456789" * 4]),
        (["user@host:path", "a@b"], ["user@host:path", "a@b"]),
        (["--keys", "layer.0", "--author", "ada"], ["--keys", "layer.0", "--author", "ada"]),
    ],
)
def test_redaction(argv: list[str], expected: list[str]) -> None:
    assert redaction.arguments(argv) == expected


@pytest.mark.parametrize("option", ["revision", "commit", "sha", "rev", "hash", "base-revision", "code_commit"])
@pytest.mark.parametrize("value", ["0123456789" * 4, "abcdef0123" * 4])
def test_redaction_keeps_a_commit_behind_each_word_for_one(option: str, value: str) -> None:
    for argv in (["--" + option, value], [f"--{option}={value}"]):
        assert redaction.arguments(argv) == argv
    assert redaction.arguments(["--" + option + "x", value])[1] == "[redacted]", "another word"


@given(st.lists(st.text(max_size=40), max_size=6))
def test_redaction_keeps_length_and_settles(argv: list[str]) -> None:
    once = redaction.arguments(argv)
    assert len(once) == len(argv)
    assert redaction.arguments(once) == once


names = st.sampled_from(["token", "hf_token", "hub-token", "password", "api_key", "openai-api-key", "secret", "passwd"])


@given(
    names, st.text("abcdefXYZ0123456789", min_size=12, max_size=40), st.booleans(), st.lists(st.just("x"), max_size=3)
)
def test_a_secret_option_never_shows_its_value(name: str, value: str, joined: bool, more: list[str]) -> None:
    argv = [*more, *([f"--{name}={value}"] if joined else [f"--{name}", value]), *more]
    assert value not in " ".join(redaction.arguments(argv))


@given(
    st.from_regex(r"\w{0,45}", fullmatch=True)
    | st.text("0123456789abcdef", min_size=38, max_size=42)
    | st.sampled_from(["AKC", "AP", "AC", "SK", "sk_", "hf_", "ghp_", "AKIA", "dapi"]).flatmap(
        lambda start: st.from_regex(r"[A-Za-z0-9]{0,40}", fullmatch=True).map(lambda rest: start + rest)
    ),
    st.booleans(),
)
def test_a_word_is_redacted_as_the_same_word_in_a_text(word: str, commit: bool) -> None:
    assert redaction.text(word, commit) == redaction.text(" " + word, commit)[1:]
