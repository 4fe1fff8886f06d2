"""Whether a merged folder may be shown to others as proved: it was, and its bytes are still those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from envpin.core.command_text import command_text
from envpin.core.errors import CheckFailedError, InputError, RefusedError
from envpin.host.verbs import ProbeNumbers
from envpin.replay.refusals import refuse_probe

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.replay.reverify import Reverified

_SHOWN = 5


def refuse_unproved(found: Reverified, folder: Path) -> None:
    """
    Raises:
        RefusedError: the merge was forced past a check, or the files are not those that it proved.
    """
    record = found.record
    if not found.lists_weights:
        raise RefusedError(f"the record of `{folder}` lists no weights, so it proves nothing",
                           hint="envpin replay merge ADAPTER -o MERGED")  # fmt: skip
    wrong = [one for one in found.differences if one.what != "added" or one.loaded]
    if wrong:
        listed = "\n".join(f"  {one.what}: {one.file}: {one.detail}" for one in wrong[:_SHOWN])
        hint = command_text("envpin", "verify", folder)
        raise RefusedError(f"`{folder}` is not what its merge proved\n{listed}", hint=hint)
    if record.verdict.kind == "mismatch":
        raise RefusedError(
            f"the merge of `{folder}` was forced: the environment or the base is not the recorded one",
            hint="merge it again without --force",
        )
    try:
        refuse_probe(_probe(found), force=False)
    except CheckFailedError as error:
        raise RefusedError(
            f"the merge of `{folder}` was forced: {error.message}", hint="envpin report FOLDER"
        ) from error


def _probe(found: Reverified) -> ProbeNumbers | None:
    """
    Raises:
        InputError: the record's figures are none.
    """
    told = found.record.verification.get("probe")
    if told is None:
        return None
    try:
        return msgspec.convert(told, ProbeNumbers)
    except msgspec.ValidationError as error:
        raise InputError(f"the record's figures of the outputs cannot be read: {error}") from error
