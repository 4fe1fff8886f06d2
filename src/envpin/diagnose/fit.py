"""Can this model be the base of that adapter? Asked of each candidate before one is taken."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from envpin.diagnose.adapter_names import read_names
from envpin.diagnose.comparison import Comparison
from envpin.diagnose.detectors.shapes import detect_fit
from envpin.diagnose.expected import expected_shapes
from envpin.diagnose.subject import CheckSubject

if TYPE_CHECKING:
    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.diagnose.adapter_names import AdapterNames
    from envpin.manifest.types import Manifest

# What no merge of the same adapter can live with. A vocabulary may have grown, and a name may be another version's.
_ANOTHER_MODEL = frozenset({"wrong-base-architecture", "wrong-base-hidden-size", "wrong-base-layers"})


class Fit:
    """`Fit(adapter, manifest)(base)` says in words why `base` cannot be the base; None where nothing speaks against
    it."""

    def __init__(self, adapter: Checkpoint, manifest: Manifest | None) -> None:
        self._adapter = adapter
        self._manifest = manifest

        self._last: tuple[Checkpoint, Comparison | None] | None = None

    def __call__(self, base: Checkpoint) -> str | None:
        if base.kind == "adapter":
            return "it is an adapter itself"
        comparison = self.with_base(base)
        if comparison is None:
            return None
        subject = CheckSubject(
            folder=self._adapter,
            base=base,
            manifest=self._manifest,
            names=self.names,
            expected=comparison.expected,
            comparison=comparison,
        )
        against = (one for one in detect_fit(subject, []) if one.code in _ANOTHER_MODEL and one.severity == "blocker")
        return next((one.message for one in against), None)

    @cached_property
    def names(self) -> AdapterNames:
        """What the names of the adapter's tensors say."""
        return read_names(self._adapter.adapter_tensors)

    def with_base(self, base: Checkpoint) -> Comparison | None:
        """The adapter held against `base`; None where one of them has no shapes to compare. The last one is kept."""
        if self._last is None or self._last[0] is not base:
            expected = expected_shapes(base)
            compared = (
                None
                if expected is None or not self.names.modules
                else Comparison(self.names, expected, self._adapter.adapter_config)
            )
            self._last = base, compared
        return self._last[1]
