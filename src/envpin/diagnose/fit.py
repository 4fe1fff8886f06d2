"""Can this model be the base of that adapter? Asked of each candidate before one is taken."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from envpin.diagnose.adapter_names import read_names
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

    @cached_property
    def _names(self) -> AdapterNames:
        return read_names(self._adapter.adapter_tensors)

    def __call__(self, base: Checkpoint) -> str | None:
        if base.kind == "adapter":
            return "it is an adapter itself"
        expected = expected_shapes(base)
        if expected is None or not self._names.factors:
            return None
        subject = CheckSubject(
            folder=self._adapter, base=base, manifest=self._manifest, names=self._names, expected=expected
        )
        against = (one for one in detect_fit(subject, []) if one.code in _ANOTHER_MODEL and one.severity == "blocker")
        return next((one.message for one in against), None)
