"""The changes of tracked files that a run was started with, kept beside its manifests as `envpin.patch`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpin.core.files import digest, read_bounded, write_atomically
from envpin.core.sizes import counted
from envpin.manifest.types import PatchInfo
from envpin.recording.injected import hook

if TYPE_CHECKING:
    from pathlib import Path

PATCH_NAME = "envpin.patch"
# Changes by hand have some kilobytes; a notebook's outputs may have many.
PATCH_LIMIT = 1024 * 1024
_BINARY = "\nBinary files "


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeChanges:
    """`text` without secrets, or None with the reason in `info.left_out`; an empty one where nothing had changed."""

    text: str | None
    info: PatchInfo

    def put_into(self, folder: Path) -> PatchInfo | None:
        """Write the patch into `folder`; what the manifest there says of it."""
        if self.text:
            write_atomically(folder / PATCH_NAME, self.text, durable=False)
        return self.info if self.text or self.info.left_out else None


def read_changes(file: Path | None) -> CodeChanges:
    """What `git diff` wrote into `file`; None where it gave no answer."""
    if file is None:
        return CodeChanges(text=None, info=PatchInfo(left_out="git did not answer in time"))
    if (size := file.stat().st_size) > PATCH_LIMIT:
        return CodeChanges(text=None, info=PatchInfo(size=size, left_out=f"{counted(size, 'byte')} are over the limit"))
    try:
        text = read_bounded(file, PATCH_LIMIT).decode("utf-8")
    except UnicodeDecodeError:
        return CodeChanges(text=None, info=PatchInfo(size=size, left_out="a changed file is no UTF-8"))
    if _BINARY in f"\n{text}":
        return CodeChanges(text=None, info=PatchInfo(size=size, left_out="a changed file is binary"))
    clean = str(hook("redaction").text(text))
    info = PatchInfo(file=PATCH_NAME, sha256=digest(clean), size=len(clean.encode()), redacted=clean != text)
    return CodeChanges(text=clean, info=info)
