"""No form of a secret is written down; hardly anything that only looks like one is hidden."""

from __future__ import annotations

import json

from envpin.recording.injected import hook
from tests.hostile.secrets_tried import FORMS, HARMLESS

redaction = hook("redaction")


def test_no_form_of_a_secret_is_written_down() -> None:
    assert len(FORMS) >= 60
    leaked = [argv for argv, secret in FORMS if secret in " ".join(redaction.arguments(argv))]
    assert leaked == []


def test_no_form_is_written_down_as_text_or_in_a_config() -> None:
    """The words of one line (a message of a library), and the values of an object, as a trainer's config has them."""
    by_program = {"mysql", "sshpass", "curl"}
    leaked = [
        argv
        for argv, secret in FORMS
        if not by_program & set(argv) and secret in redaction.text(" ".join(argv) if len(argv) > 1 else argv[0])
    ]
    assert leaked == []
    pairs = [(argv[0].lstrip("-"), argv[1], secret) for argv, secret in FORMS if len(argv) == 2 and argv[0][:2] == "--"]
    assert [one for one in pairs if one[2] in json.dumps(redaction.document({one[0]: one[1]}))] == []


def test_what_looks_like_a_secret_and_is_none_stays() -> None:
    assert len(HARMLESS) >= 60
    changed = [argv for argv in HARMLESS if redaction.arguments(argv) != argv]
    assert len(changed) <= 2, changed
