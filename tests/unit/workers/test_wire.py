"""JSON into named tuples: what is missing, unknown or of the wrong kind is named by its path."""

from __future__ import annotations

import pytest

from envpin.workers.protocol import KnownError
from envpin.workers.requests import LadderRequest, MergeRequest, StreamMergeRequest
from envpin.workers.results import TinyModelResult
from envpin.workers.wire import decode, encode

GOOD = {"base": "b", "adapter": "a", "out": "o"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": 3}, "`base` must be a string"),
        ({"weight": True}, "`weight` must be a number"),
        ({"weight": "1"}, "`weight` must be a number"),
        ({"threads": 1.5}, "`threads` must be an integer"),
        ({"threads": True}, "`threads` must be an integer"),
        ({"resume": 1}, "`resume` must be a boolean"),
        ({"dtype": "int8"}, "`dtype` must be one of `keep`, `peft`, `bf16`, `fp16`, `fp32`"),
        ({"dtype": ["keep"]}, "`dtype` must be one of `keep`, `peft`, `bf16`, `fp16`, `fp32`"),
        ({"further": {}}, "`further` must be an array"),
        ({"further": [{"adapter": "x"}, {"weight": 2}]}, "`further[1].adapter` is missing"),
        ({"embedding": {"action": "grow", "rows": "9"}}, "`embedding.rows` must be an integer"),
        ({"embedding": None}, "`embedding` must be an object"),
        ({"metadata": {"envpin": 1}}, "`metadata.envpin` must be a string"),
        ({"plan_only": True}, "`plan_only` is not a known field"),
    ],
)
def test_decode_names_a_wrong_field(change: dict[str, object], message: str) -> None:
    with pytest.raises(KnownError) as caught:
        decode(StreamMergeRequest, {**GOOD, **change})
    assert (caught.value.kind, caught.value.message) == ("request", message)


def test_decode_refuses_a_request_that_is_no_object() -> None:
    with pytest.raises(KnownError, match="must be an object"):
        decode(MergeRequest, ["base"])


def test_decode_takes_a_whole_number_for_a_number() -> None:
    found = decode(LadderRequest, {"jobs": [], "timeout": 5})
    assert found.timeout == 5.0
    assert type(found.timeout) is float


def test_encode_leaves_defaults_out_that_decode_puts_back() -> None:
    found = decode(StreamMergeRequest, {**GOOD, "threads": None})
    assert found == StreamMergeRequest("b", "a", "o")
    assert encode(found) == GOOD


def test_encode_always_writes_fields_without_a_default() -> None:
    assert encode(TinyModelResult("f", None)) == {"folder": "f", "adapter": None}
