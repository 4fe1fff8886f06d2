"""Have an adapter and a base of the Hub on this machine: after the preflight, before the merge."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.core.errors import InfrastructureError
from envpin.core.events import ignore
from envpin.remote.hub.download import download
from envpin.remote.hub.place import HubPlace
from envpin.replay.publish import PROCESSOR_FILES, TOKENIZER_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from envpin.core.events import Listener
    from envpin.core.place import RemotePlace
    from envpin.replay.plan import MergePlan

# Beside the weights: what a merged model is published with, and what the engines read.
_COMPANIONS = (*TOKENIZER_FILES, *PROCESSOR_FILES, "generation_config.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def fetch(plan: MergePlan, *, listener: Listener = ignore) -> None:
    """Download what the merge of `plan` reads, and no other file: no second copy of the weights in another format.

    Raises:
        InputError, NetworkError, DiskFullError: see `hub.download`.
    """
    for part in plan.parts:
        _fetch(part.remote, (*part.files, *_COMPANIONS, "envpin.json"), listener)
    _fetch(plan.base.remote, (*plan.base_files, *_INDEXES, *_COMPANIONS), listener)


def _fetch(remote: RemotePlace | None, names: Iterable[str], listener: Listener) -> None:
    if isinstance(remote, HubPlace):
        held = remote.repository.files
        download(remote.repository, [name for name in names if name in held], listener=listener)


def refuse_other_bytes(folder: Path, digests: Mapping[str, str]) -> None:
    """A Hub cache names each blob of weights by its sha256: one that was changed there since is not what was published.

    Raises:
        InfrastructureError: `digests` of the files of `folder` tell of such a blob.
    """
    for name, digest in digests.items():
        blob = (folder / name).resolve()
        if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name) and blob.name != digest:
            raise InfrastructureError(
                f"`{folder / name}` in the Hub cache is not the file that was published: its sha256 is {digest[:16]}…, "
                f"that of the published one {blob.name[:16]}…",
                hint=f"remove {command_text(blob)} and run the same command again",
            )
