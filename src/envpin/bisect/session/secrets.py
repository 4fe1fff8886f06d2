"""A search's log is handed on, and the evidence of it published: no secret of the machine that made it goes along.

Commands are written down as `envpin record` writes those of training runs (see its hook's `redaction`), and so is what
probes printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from envpin.recording.injected import hook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.bisect.question import ProbeQuestion
    from envpin.bisect.session.outcome import ProbeOutcome

# The texts of locks, which a search goes on from; they hold digests, and no credentials of an index.
_AS_IT_IS = frozenset({"ends", "setup"})


def without_secrets(outcome: ProbeOutcome) -> ProbeOutcome:
    """What a probe showed, without the secrets in what it printed."""
    redaction = hook("redaction")
    return msgspec.structs.replace(
        outcome,
        message=None if outcome.message is None else redaction.text(outcome.message),
        text=redaction.text(outcome.text),
        details=redaction.document(outcome.details),
    )


def record_without_secrets(event: str, fields: Mapping[str, object]) -> dict[str, Any]:
    """The fields of a line of a log as they may be written down."""
    if event in _AS_IT_IS:
        return dict(fields)
    cleaned: dict[str, Any] = hook("redaction").document(dict(fields))
    question = fields.get("question")
    if isinstance(question, dict) and isinstance(question.get("probe"), dict) and question["probe"].get("command"):
        command = hook("redaction").arguments(question["probe"]["command"])
        cleaned["question"]["probe"]["command"] = command
    return cleaned


def is_same_command(given: tuple[str, ...], probe: ProbeQuestion) -> bool:
    """Whether a command is the one of a probe that was read back from a log."""
    return given == probe.command or tuple(hook("redaction").arguments(given)) == probe.command
