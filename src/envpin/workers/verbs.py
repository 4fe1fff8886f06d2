"""The allow-list of verbs: the module whose `run(request, events)` answers each, and what it is asked with."""

import importlib
from typing import Callable, Dict, NamedTuple

from . import requests
from .protocol import Events, KnownError
from .wire import decode, encode


class Verb(NamedTuple):
    module: str
    request: type


VERBS: Dict[str, Verb] = {
    "ladder": Verb(".probe.ladder", requests.LadderRequest),
    "merge": Verb(".peft_engine.merge", requests.MergeRequest),
    "probe": Verb(".probe.probe", requests.ProbeRequest),
    "prove": Verb(".prove.prove", requests.ProveRequest),
    "tiny-model": Verb(".tiny.make", requests.TinyModelRequest),
    "verify": Verb(".peft_engine.verify", requests.VerifyRequest),
    "stream-answers": Verb(".probe.stream_answers", requests.StreamAnswersRequest),
    "stream-merge": Verb(".stream.engine", requests.StreamMergeRequest),
}


def answer(verb: str, body: object, events: Events) -> object:
    """Do what is asked; request and result are JSON.

    Raises:
        KnownError: `unknown-verb`, `request` where a field is wrong, or what the verb itself raises.
    """
    if verb not in VERBS:
        raise KnownError("unknown-verb", "there is no verb `%s`" % verb)
    request: object = decode(VERBS[verb].request, body)
    run = run_of(verb)
    return encode(run(request, events))


def run_of(verb: str) -> Callable[[object, Events], object]:
    """The function that answers a verb; importing it imports none of the environment's libraries."""
    run: Callable[[object, Events], object] = importlib.import_module(VERBS[verb].module, __package__).run
    return run
