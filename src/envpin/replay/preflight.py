"""What headers and JSON already say against a merge, before an environment is built for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.findings import Evidence, Finding

if TYPE_CHECKING:
    from envpin.checkpoint.embedding import EmbeddingPlan
    from envpin.checkpoint.folder import Folder


def preflight(adapter: Folder, base: Folder, embedding: EmbeddingPlan) -> tuple[Finding, ...]:
    """Blockers of the files themselves and of the embedding table."""
    found = [
        Finding(
            code=fault.code,
            severity="blocker",
            message=f"`{folder.path / fault.file}` {fault.message}",
            evidence=(Evidence(file=fault.file, found=fault.found, expected=fault.expected),),
        )
        for folder in (adapter, base)
        for fault in folder.faults
    ]
    if embedding.action == "refuse":
        found.append(Finding(code=embedding.code or "vocab-mismatch", severity="blocker", message=embedding.reason))
    return tuple(sorted(found, key=lambda finding: finding.sort_key))
