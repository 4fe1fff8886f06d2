"""What a check looks at, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from envpin.checkpoint.config import text_value
from envpin.diagnose.renames import is_unread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.checkpoint.bases import FoundBase
    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.core.findings import Finding
    from envpin.diagnose.adapter_names import AdapterNames
    from envpin.diagnose.comparison import Comparison, Mismatch
    from envpin.diagnose.expected import ExpectedShapes
    from envpin.manifest.types import Manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Selective:
    """Whether loading only what fits is sound, tensor by tensor, and what is lost by it."""

    sound: bool
    steps: tuple[str, ...] = ()
    lost: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckReport:
    """`findings` come blockers first. `base` is the folder that the adapter was compared with, if any; `subject` is
    everything that was read. `not_compared` says why the adapter was not held against a base; None where it was, and
    for a model, which has no base."""

    subject: CheckSubject
    findings: tuple[Finding, ...]
    mismatches: tuple[Mismatch, ...] = ()
    selective: Selective | None = None
    base: FoundBase | None = None
    expected_from: str | None = None
    not_compared: str | None = None

    @property
    def compared(self) -> bool | None:
        """Whether the adapter's shapes were held against those of its base; None for a model."""
        return self.not_compared is None if self.subject.is_adapter else None

    @property
    def blockers(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "blocker")


@dataclass(frozen=True, kw_only=True)
class CheckSubject:
    """`folder` is the adapter or the model asked about; `base` the adapter's base, where it was found. `comparison` is
    there where both have something to compare."""

    folder: Checkpoint
    base: Checkpoint | None = None
    found_base: FoundBase | None = None
    manifest: Manifest | None = None
    names: AdapterNames | None = None
    expected: ExpectedShapes | None = None
    comparison: Comparison | None = None
    target: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_adapter(self) -> bool:
        return self.folder.kind in {"adapter", "both"}

    @property
    def adapter_config(self) -> dict[str, object]:
        return self.folder.adapter_config or {}

    @property
    def model(self) -> Checkpoint | None:
        """The base of an adapter, where it was found; otherwise the folder itself."""
        return self.base if self.is_adapter else self.folder

    @property
    def base_config(self) -> dict[str, object]:
        """The config of the base for an adapter; of the model itself otherwise."""
        return (self.model.config if self.model is not None else None) or {}

    @cached_property
    def base_rows(self) -> int | None:
        """Rows of the base's embedding: of its tensors, else as its config says."""
        if self.base is None:
            return None
        rows = self.base.embedding_rows
        return rows if rows is not None else text_value(self.base_config, "vocab_size")

    def version(self, package: str) -> Version | None:
        """The target environment's version of `package`; None without a target, or for what is not a version."""
        return _release(self.target.get(package))

    @property
    def unread_transformers(self) -> Version | None:
        """The release that trained the adapter or shall load it, where it may name modules in ways not known here."""
        recorded = self.manifest.version_of("transformers") if self.manifest is not None else None
        releases = [self.version("transformers"), _release(recorded)]
        return next((one for one in releases if one is not None and is_unread(one)), None)

    def below(self, package: str, version: str) -> bool:
        """Whether the target has `package`, and older than `version`."""
        own = self.version(package)
        return own is not None and own < Version(version)

    def from_on(self, package: str, version: str) -> bool:
        """Whether the target has `package` at `version` or newer."""
        own = self.version(package)
        return own is not None and own >= Version(version)


def _release(text: str | None) -> Version | None:
    try:
        return Version(text or "")
    except InvalidVersion:
        return None
