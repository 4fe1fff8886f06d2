"""The lines of a log, typed: what each event must hold. A log may come from elsewhere, so it is read as input."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from envpin.bisect.search.axis import Axis  # noqa: TC001  # msgspec resolves the annotation at run time
from envpin.bisect.session.outcome import ProbeOutcome, Verdict  # noqa: TC001  # so does it here

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Record(msgspec.Struct, tag_field="event", kw_only=True):
    at: str = ""


class AskedRecord(_Record, tag="question"):
    """The first line of a log. `question` is a `Question` or a `ChangedQuestion`."""

    schema: int
    question: dict[str, object]


class SetupRecord(_Record, tag="setup"):
    """What a search over releases was set up with: `weights` and `costs` have one number for each candidate."""

    axis: Axis
    weights: list[float]
    costs: list[float]
    uploaded: dict[str, str]
    reasons: dict[str, str]
    model_type: str | None = None

    def __post_init__(self) -> None:
        if not 2 <= len(self.axis.candidates) == len(self.weights) == len(self.costs):
            raise ValueError("a weight and a cost are needed for each of two candidates or more")
        if not all(0 < number < math.inf for number in (*self.weights, *self.costs)):
            raise ValueError("weights and costs are positive")


class ProbeRecord(_Record, tag="probe"):
    version: str
    purpose: str
    verdict: Verdict
    source: Literal["run", "cache"]
    outcome: ProbeOutcome
    seconds: float
    moves: list[str] = []
    lock: str | None = None
    environment: str | None = None
    environment_seconds: float = 0.0


class SkipRecord(_Record, tag="skip"):
    """`version` in a search over releases, `package` in one over environments."""

    reason: str
    version: str = ""
    package: str = ""


class TransitionRecord(msgspec.Struct):
    low: int
    high: int
    to: Literal["before", "after"]


class ConclusionRecord(_Record, tag="conclusion"):
    kind: Literal["named", "range", "end-wrong", "end-untestable", "undecided"]
    low: int
    high: int
    probability: float
    certain: bool
    noisy: bool
    others: list[TransitionRecord]


class EndsRecord(_Record, tag="ends"):
    """The texts of both locks."""

    good: str
    bad: str


class SetRecord(_Record, tag="set"):
    moved: list[str]
    verdict: Verdict
    lock: str
    source: Literal["run", "cache"]
    outcome: ProbeOutcome
    seconds: float
    again: bool
    environment: str | None = None


class MinimalRecord(_Record, tag="minimal"):
    moved: list[str]
    needed: list[str]
    carried: list[str]
    proved: bool
    unproved: list[str]
    left_out: list[str]


class StartRecord(_Record, tag="start"):
    jobs: int = 1


class StoppedRecord(_Record, tag="stopped"):
    kind: str
    message: str


Record: TypeAlias = (
    AskedRecord | SetupRecord | ProbeRecord | SkipRecord | ConclusionRecord | EndsRecord | SetRecord | MinimalRecord
    | StartRecord | StoppedRecord
)  # fmt: skip


def check(document: object) -> None:
    """Whether a line is a record.

    Raises:
        ValueError: it is not; the message says where.
    """
    msgspec.convert(document, Record)


def check_together(records: Sequence[dict[str, Any]]) -> None:
    """Whether conclusions speak of releases that the search has.

    Raises:
        ValueError: one does not.
    """
    sizes = [len(record["axis"]["candidates"]) for record in records if record["event"] == "setup"]
    for record in records:
        if record["event"] == "conclusion":
            points = [(record["low"], record["high"]), *((one["low"], one["high"]) for one in record["others"])]
            if not sizes or not all(0 <= low <= high < sizes[-1] for low, high in points):
                raise ValueError("a conclusion about releases that the search does not have")
