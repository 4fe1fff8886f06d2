"""The two sides of the worker protocol say the same: each verb's request and answer, field by field."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from envpin.host import verbs
from envpin.workers import requests, results
from envpin.workers import verbs as worker
from envpin.workers.wire import decode, encode

CALLS = {call.verb: call for call in verbs.CALLS}
RESULTS = {
    "ladder": results.LadderResult,
    "merge": results.MergeResult,
    "probe": results.ProbeResult,
    "prove": results.ProveResult,
    "tiny-model": results.TinyModelResult,
    "verify": results.VerifyResult,
    "stream-answers": results.StreamAnswersResult,
    "stream-merge": results.StreamMergeResult,
}


def shape(kind: Any) -> object:
    """What a type looks like as JSON, whichever side wrote it; the default where a field has one."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        return ("optional", *(shape(one) for one in arguments if one is not type(None)))
    if origin is Literal:
        return ("literal", *arguments)
    if origin in {tuple, dict}:
        return (origin.__name__, *("…" if one is Ellipsis else shape(one) for one in arguments))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {one.name: (shape(one.type), default_of(one)) for one in msgspec.structs.fields(kind)}
    if hasattr(kind, "_fields"):
        hints = get_type_hints(kind)
        return {name: (shape(hints[name]), plain(kind._field_defaults.get(name, "required"))) for name in kind._fields}
    return kind


def default_of(field: Any) -> object:
    if field.required:
        return "required"
    made = field.default_factory is not msgspec.NODEFAULT
    return msgspec.to_builtins(field.default_factory() if made else field.default)


def plain(default: object) -> object:
    """A default in the form of JSON that leaves defaults out."""
    return {} if hasattr(default, "_fields") else msgspec.to_builtins(default)


def test_both_sides_know_the_same_verbs() -> None:
    assert set(CALLS) == set(worker.VERBS) == set(RESULTS)


@pytest.mark.parametrize("verb", sorted(RESULTS))
def test_both_sides_ask_the_same(verb: str) -> None:
    assert shape(CALLS[verb]) == shape(worker.VERBS[verb].request)


@pytest.mark.parametrize("verb", sorted(RESULTS))
def test_both_sides_answer_the_same(verb: str) -> None:
    assert shape(CALLS[verb].reply) == shape(RESULTS[verb])
    assert get_type_hints(worker.run_of(verb))["return"] is RESULTS[verb]


def test_both_sides_tell_of_a_step_in_the_same_words() -> None:
    assert shape(verbs.StepOutcome) == shape(results.LadderOutcome)


def test_a_request_arrives_as_it_was_sent() -> None:
    call = verbs.StreamMergeCall(
        base="b", adapter="a", out="o", weight=0.5, further=(verbs.AdapterWeight(adapter="c", weight=-1.0),),
        embedding=verbs.EmbeddingChoice(action="grow", rows=330), metadata={"envpin": "0123"},
        quantized=verbs.QuantizedChoice(policy="dequantize", stored=True, config={"load_in_4bit": True}),
    )  # fmt: skip
    request = decode(requests.StreamMergeRequest, msgspec.to_builtins(call))
    assert request == requests.StreamMergeRequest(
        base="b", adapter="a", out="o", weight=0.5, further=(requests.FurtherAdapter("c", -1.0),),
        embedding=requests.EmbeddingFit("grow", 330), metadata={"envpin": "0123"},
        quantized=requests.QuantizedBase("dequantize", True, {"load_in_4bit": True}),
    )  # fmt: skip


def test_an_answer_arrives_as_it_was_sent() -> None:
    sent = results.LadderOutcome(3, "merge", "fail", "ValueError: x", 0.5, {"moved": 0.1}, machine=True)
    found = msgspec.convert(encode(sent), verbs.StepOutcome)
    assert msgspec.structs.asdict(found) == sent._asdict()
