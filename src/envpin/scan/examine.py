"""One folder of a scan: what it is, what made it, what its base is, what stands in its way. Never raises."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import msgspec

from envpin.checkpoint.checkpoint import Checkpoint, open_checkpoint
from envpin.core.adapter_format import foreign_format
from envpin.core.errors import EnvpinError
from envpin.core.marks import MERGE_RECORD
from envpin.diagnose.check import check
from envpin.envs.refs.recorded import is_recorded_in
from envpin.inference.infer import ranges_of, tells
from envpin.inference.observe import observe
from envpin.inference.traces import read_traces
from envpin.inference.trainers import checkpoint_step, recognise
from envpin.inference.versions import known_releases
from envpin.manifest.closure import REQUIRED
from envpin.manifest.read import FILE_NAME
from envpin.scan.entry import BaseSeen, RecordState, ScanEntry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpin.core.findings import Finding
    from envpin.core.place import Place
    from envpin.diagnose.subject import CheckReport
    from envpin.envs.store.receipt import Receipt
    from envpin.inference.trainers import Recognised, Traces
    from envpin.inference.versions import Known
    from envpin.manifest.types import Manifest
    from envpin.scan.walk import Spot

# Of the shapes and keys that a finding shows: ten thousand folders are not to fill the memory.
_EVIDENCE = 3
# Configs of bases kept for the adapters that share them, in the order of the walk.
_KEPT = 32


class Examiner:
    """Examines folders below `root`. `receipts` are those of the environments that are ready, by key.

    Bases and runs are read once: most adapters of a folder share one.
    """

    def __init__(self, root: Path, receipts: dict[str, Receipt], *, infers: bool = True) -> None:
        self._root = root
        self._infers = infers
        self._receipts = receipts
        self._bases: dict[str, Checkpoint] = {}
        self._run_traces = lru_cache(maxsize=_KEPT)(read_traces)

    def examine(self, spot: Spot) -> ScanEntry:
        """What is in one folder; a fault of any kind becomes the `problem` of its entry."""
        path = str(spot.path.relative_to(self._root)) or "."
        step = checkpoint_step(spot.path.name) if spot.run is not None else None
        foreign = foreign_format(spot.path, spot.names)
        if foreign is not None:
            found = self._trainer(spot, None)
            base = BaseSeen(named=foreign.base) if foreign.base else None
            problem = f"an adapter in the format of {foreign.tool}, which peft cannot load"
            return _with_trainer(ScanEntry(path=path, kind="adapter", step=step, base=base, problem=problem), found)
        try:
            report = check(spot.path, open_base=self._open_base)
        except EnvpinError as error:
            found = self._trainer(spot, None)
            return _with_trainer(ScanEntry(path=path, kind="unknown", step=step, problem=_reason(spot, error)), found)
        except Exception as error:  # noqa: BLE001  one folder must not end the scan of ten thousand
            text = f"envpin failed on it: {type(error).__name__}: {str(error)[:200]}"
            return ScanEntry(path=path, kind="unknown", step=step, problem=text)
        folder = report.subject.folder
        trainer = self._trainer(spot, folder)
        record, versions = _record(spot, report.subject.manifest)
        key = self._ready(report.subject.manifest)
        if self._infers and record == "none" and folder.adapter_config is not None:
            versions, key = self._infer(report, trainer)
            record = "inferred" if versions else "none"
        entry = ScanEntry(
            path=path,
            kind=folder.kind,
            step=step,
            base=_base(folder, report),
            record=record,
            versions=versions,
            environment="ready" if key else "missing" if versions else "unknown",
            environment_key=key,
            findings=tuple(_short(one) for one in report.findings),
            not_compared=report.not_compared,
        )
        if folder.kind == "model":
            entry = msgspec.structs.replace(entry, environment="ready" if key else "none")
        return _with_trainer(entry, trainer)

    @cached_property
    def _known(self) -> Mapping[str, Known]:
        """One for the whole scan: what is derived from it is kept by its identity."""
        return known_releases()

    def _trainer(self, spot: Spot, folder: Checkpoint | None) -> Recognised | None:
        known: dict[str, dict[str, object] | None] = {}
        if folder is not None:
            known = {"config.json": folder.config, "adapter_config.json": folder.adapter_config}
        try:
            run: Traces | None = None if spot.run is None else self._run_traces(*spot.run)
            place = spot.path if folder is None else folder.files
            return recognise(read_traces(place, spot.names, known), run=run)
        except Exception:  # noqa: BLE001  as above; what is not recognised is not recognised
            return None

    def _infer(self, report: CheckReport, trainer: Recognised | None) -> tuple[dict[str, str], str | None]:
        """Ranges of versions by package, in words, and the key of an environment within them that is ready."""
        try:
            known = self._known
            base = None if report.base is None else report.base.checkpoint
            found = ranges_of(observe(report.subject.folder, base=base, search=False), trainer, known)
        except Exception:  # noqa: BLE001  as above; what cannot be inferred is not
            return {}, None
        told = {name: found[name] for name in ("peft", "transformers") if tells(found[name])}
        if not told:
            return {}, None
        ready = (
            key
            for key, receipt in self._receipts.items()
            if all((held := receipt.artifact(name)) and held.version in one.versions for name, one in told.items())
        )
        return {name: known[name].describe(one.versions) for name, one in told.items()}, next(ready, None)

    def _open_base(self, place: Place) -> Checkpoint:
        known = self._bases.pop(str(place), None)
        folder = known if known is not None else open_checkpoint(place)
        self._bases[str(place)] = folder  # last in, last out
        if len(self._bases) > _KEPT:
            del self._bases[next(iter(self._bases))]
        return folder

    def _ready(self, manifest: Manifest | None) -> str | None:
        """The key of the environment that was recorded, where the store has it."""
        if manifest is None or not manifest.distributions:
            return None
        return next((key for key, receipt in self._receipts.items() if is_recorded_in(receipt, manifest)), None)


def _reason(spot: Spot, error: EnvpinError) -> str:
    if "trainer_state.json" in spot.names:
        return "holds the state of a training run, and no weights that transformers or peft could load"
    return error.message.partition("\n")[0]


def _record(spot: Spot, manifest: Manifest | None) -> tuple[RecordState, dict[str, str]]:
    if manifest is not None:
        versions = {name: found for name in REQUIRED if (found := manifest.version_of(name)) is not None}
        return "recorded", versions
    if FILE_NAME in spot.names:
        return "damaged", {}
    if MERGE_RECORD in spot.names:
        return "merge", {}
    return "none", {}


def _base(folder: Checkpoint, report: CheckReport) -> BaseSeen | None:
    if folder.adapter_config is None and report.base is None:
        return None
    named = (folder.adapter_config or {}).get("base_model_name_or_path")
    named = named[:300] if isinstance(named, str) else None
    found = report.base
    if found is None:
        return BaseSeen(named=named)
    return BaseSeen(named=named, path=str(found.place), id=found.id, commit=found.commit, found=found.found)


def _short(finding: Finding) -> Finding:
    return msgspec.structs.replace(finding, evidence=finding.evidence[:_EVIDENCE])


def _with_trainer(entry: ScanEntry, found: Recognised | None) -> ScanEntry:
    if found is None:
        return entry
    return msgspec.structs.replace(
        entry,
        trainer=found.trainer,
        trainer_title=found.title,
        trainer_version=found.version,
        through=found.through,
    )
