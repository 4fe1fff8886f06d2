"""What a line says together with those before it, by the first rule that knows it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.diagnose.logs.context.callers import explain_frame
from envpin.diagnose.logs.context.cells import explain_decoding
from envpin.diagnose.logs.context.folders import explain_folder
from envpin.diagnose.logs.context.given import explain_given
from envpin.diagnose.logs.context.rows import explain_row
from envpin.diagnose.logs.context.tokenizing import explain_tokenizing
from envpin.diagnose.logs.facts.commands import explain_command
from envpin.diagnose.logs.text.anchors import FRAME_ANCHORS, FRAMES_NEAR

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.explained import Explained


def explain_in_context(line: str, before: str) -> Explained | None:
    """The cause that a line has by its frames; None where no rule knows it."""
    told = explain_command(line, before) or explain_tokenizing(line, before) or explain_decoding(line, before)
    told = told or explain_row(line, before) or explain_folder(line, before) or explain_given(line, before)
    if told is not None or not any(anchor in line for anchor in FRAME_ANCHORS):
        return told
    return explain_frame(line, "\n".join(before.split("\n")[-FRAMES_NEAR - 1 :]))
