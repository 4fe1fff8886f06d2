"""Digests of batches that hold no tensors. Those of tensors: tests/integration/test_record_training.py."""

from __future__ import annotations

from typing import Any

from envpin.recording.injected import hook

contents = hook("contents")


def described(*batches: Any) -> Any:
    digest = contents.BatchDigest()
    for batch in batches:
        digest.add(batch)
    return digest.described()


def test_a_batch_of_which_nothing_can_be_read_has_no_digest() -> None:
    assert described({"images": object()}) is None
    assert described([object(), {"image": object()}]) is None
    assert described([]) is None


def test_rows_of_plain_values_have_a_digest_each() -> None:
    one, other = described([{"prompt": "a"}, {"prompt": "b"}]), described([{"prompt": "a"}, {"prompt": "c"}])
    assert one["rows"][0] == other["rows"][0]
    assert one["rows"][1] != other["rows"][1]
    assert one["digest"] != other["digest"]
