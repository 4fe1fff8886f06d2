"""Will this adapter load and merge? Decided from headers and JSON, without building or importing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.checkpoint.bases import FoundBase, find_base
from envpin.checkpoint.checkpoint import Checkpoint, open_checkpoint
from envpin.core.errors import InputError, NetworkError
from envpin.core.findings import Evidence
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.comparison import Mismatch
from envpin.diagnose.detectors.base import detect_base, detect_eras
from envpin.diagnose.detectors.declared import detect_declared
from envpin.diagnose.detectors.files import detect_files, detect_folder
from envpin.diagnose.detectors.looked_up import detect_looked_up
from envpin.diagnose.detectors.methods import detect_method
from envpin.diagnose.detectors.model_config import detect_model_config
from envpin.diagnose.detectors.refusals import detect_refusals
from envpin.diagnose.detectors.settings import detect_settings
from envpin.diagnose.detectors.shapes import SHOWN, detect_fit, detect_names, places
from envpin.diagnose.detectors.targets import detect_targets
from envpin.diagnose.detectors.tokens import detect_tokens
from envpin.diagnose.detectors.unmergeable import detect_unmergeable
from envpin.diagnose.detectors.values import detect_values
from envpin.diagnose.detectors.versions import detect_versions
from envpin.diagnose.detectors.vocabulary import detect_vocabulary, selective_loading
from envpin.diagnose.detectors.whole import detect_whole
from envpin.diagnose.expected import expected_shapes
from envpin.diagnose.fit import Fit
from envpin.diagnose.subject import CheckReport, CheckSubject, Selective
from envpin.manifest.read import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from envpin.core.adapter_format import ForeignFormat
    from envpin.core.findings import Finding
    from envpin.core.place import OpenRemote, Place
    from envpin.manifest.types import Manifest

__all__ = ["CheckReport", "Mismatch", "Selective", "check"]


def check(
    path: Place | Checkpoint,
    *,
    base: Path | str | FoundBase | None = None,
    target: Mapping[str, str] | None = None,
    open_remote: OpenRemote | None = None,
    open_base: Callable[[Place], Checkpoint] = open_checkpoint,
    reads_model: bool = True,
) -> CheckReport:
    """Every finding that applies to the folder at `path`, or that is open already, blockers first.

    `base` is the base's folder or its id in the Hub cache, or one that was found already; without it the base is looked
    for where the adapter and its manifest point, and then on the Hub where `open_remote` can open it. `target` maps
    packages to the versions of the environment that shall load it. `open_base` opens the base; who checks many adapters
    of one base keeps what it answers. `reads_model` is off where every value of the base will be read anyway.

    Raises:
        InputError: `path` or an explicit `base` cannot be read as a model or adapter.
        NetworkError: the Hub was asked for the adapter or an explicit `base`, and does not answer.
    """
    folder = open_checkpoint(path)
    if folder.foreign is not None:
        return _foreign(folder, folder.foreign)
    subject = CheckSubject(folder=folder, manifest=_manifest(folder), target=dict(target or {}))
    findings: list[Finding] = []
    mismatches: list[Mismatch] = []
    if folder.kind == "adapter":
        subject, missing = _with_base(subject, base, open_remote, open_base)
        findings += missing
    findings += detect_files(folder, subject)
    if subject.base is not None:
        findings += detect_files(subject.base, subject)
    findings += _damaged_manifest(folder, subject)
    findings += detect_folder(subject)
    if subject.model is not None:
        findings += detect_model_config(subject.model, subject)
        findings += detect_whole(subject.model, subject, mismatches)
        findings += detect_tokens(subject.model, subject)
    if subject.model is not folder:
        findings += detect_tokens(folder, subject)
    findings += detect_values(subject, reads_model=reads_model)
    findings += detect_versions(subject)
    if folder.kind == "adapter":
        findings += detect_names(subject)
        findings += detect_settings(subject)
        findings += detect_refusals(subject)
        findings += detect_method(subject)
        findings += detect_looked_up(subject)
        findings += detect_declared(subject)
        findings += detect_targets(subject)
        findings += detect_unmergeable(subject)
        findings += detect_fit(subject, mismatches)
        findings += detect_vocabulary(subject)
        findings += detect_base(subject)
        findings += detect_eras(subject)
    findings = _without_echoes(findings)
    codes = {one.code for one in findings if one.severity != "info"}
    return CheckReport(
        findings=tuple(sorted(dict.fromkeys(findings), key=lambda one: one.sort_key)),
        mismatches=tuple(mismatches),
        selective=selective_loading(subject, codes) if folder.kind == "adapter" else None,
        base=subject.found_base,
        expected_from=subject.expected.source if subject.expected is not None else None,
        not_compared=_not_compared(subject),
        subject=subject,
    )


def _foreign(folder: Checkpoint, foreign: ForeignFormat) -> CheckReport:
    """An adapter that peft has no reader for: nothing of it is missing or corrupt by peft's measure."""
    seen = [Evidence(file=foreign.file, found=f"base: {foreign.base}" if foreign.base else None)]
    fix = (foreign.step(folder.path),)
    found = finding("foreign-format", f"`{folder.path}` is {foreign.words}", seen, fix=fix)
    subject = CheckSubject(folder=folder)
    return CheckReport(subject=subject, findings=(found,), not_compared=f"it is in the format of {foreign.tool}")


def _not_compared(subject: CheckSubject) -> str | None:
    """Why an adapter was not held against its base, and weights of no known name not read as a model."""
    if subject.folder.kind == "unknown":
        return "no file has a name that transformers or peft loads"
    if not subject.is_adapter:
        return None
    reason = None
    if subject.folder.kind == "both":
        reason = "it lies among the weights of a model"
    elif subject.base is None:
        reason = "no base found"
    elif subject.expected is None:
        reason = "the base has no weights, and its config does not tell their shapes"
    elif subject.comparison is None or not subject.comparison.tells:
        reason = "it holds no tensors whose shapes the base gives"
    return reason


def find_recorded_base(
    adapter: Checkpoint,
    manifest: Manifest | None,
    *,
    explicit: Path | str | None = None,
    open_remote: OpenRemote | None = None,
    open_base: Callable[[Place], Checkpoint] = open_checkpoint,
    fit: Fit | None = None,
) -> FoundBase:
    """The base that `manifest` recorded, or that the adapter names, and that its tensors fit (see `find_base`). Who
    compares with the base afterwards gives the `fit` and asks it.

    Raises:
        InputError, NetworkError: see `find_base`.
    """
    recorded = manifest.base if manifest is not None else None

    def open_sampled(place: Place) -> Checkpoint:
        base = open_base(place)
        if recorded is not None and recorded.weights:
            base.sample()
        return base

    return find_base(
        adapter,
        explicit=explicit,
        recorded_path=recorded.path if recorded is not None else None,
        recorded_id=recorded.id if recorded is not None else None,
        commit=recorded.commit if recorded is not None else None,
        open_remote=open_remote,
        open_base=open_sampled,
        misfit=fit or Fit(adapter, manifest),
    )


def _with_base(
    subject: CheckSubject,
    explicit: Path | str | FoundBase | None,
    open_remote: OpenRemote | None,
    open_base: Callable[[Place], Checkpoint],
) -> tuple[CheckSubject, list[Finding]]:
    folder = subject.folder
    fit = Fit(folder, subject.manifest)
    found = base = missing = None
    try:
        if isinstance(explicit, FoundBase):
            found = explicit
        else:
            found = find_recorded_base(
                folder, subject.manifest, explicit=explicit, open_remote=open_remote, open_base=open_base, fit=fit
            )
        base = found.checkpoint
    except (InputError, NetworkError) as error:
        # A folder is checked as far as it goes where the Hub cannot be reached.
        if explicit is not None or (isinstance(error, NetworkError) and not folder.is_local):
            raise
        missing, found = error, None
    known = CheckSubject(
        folder=folder,
        base=base,
        found_base=found,
        manifest=subject.manifest,
        names=fit.names,
        expected=expected_shapes(base) if base is not None else None,
        comparison=fit.with_base(base) if base is not None else None,
        target=subject.target,
    )
    if missing is None:
        return known, []
    lines = tuple(missing.problems[:20]) if isinstance(missing, InputError) else ()
    seen = [Evidence(note=line) for line in lines or filter(None, [missing.hint])]
    names = {"adapter": str(folder.path)}
    return known, [finding("base-not-found", missing.message.partition("\n")[0], seen, names=names)]


def _manifest(folder: Checkpoint) -> Manifest | None:
    """The manifest beside the weights; None where there is none that can be read."""
    try:
        recorded = folder.recorded
    except InputError:
        return None
    return None if recorded is None else recorded.manifest


def _damaged_manifest(folder: Checkpoint, subject: CheckSubject) -> list[Finding]:
    """A record that cannot be read: no library looks at it, and no merge goes on without what it says."""
    try:
        _ = folder.recorded
    except InputError as error:
        seen = [Evidence(file=FILE_NAME, note=one) for one in error.problems[:SHOWN]] or [Evidence(file=FILE_NAME)]
        fix = (error.hint,) if error.hint else None
        return [finding("corrupt-header", error.message, seen, fix=fix, names=places(subject))]
    return []


# What leaves names and shapes unread, or half read.
_DAMAGE = frozenset({"truncated-file", "corrupt-header", "missing-shard", "lfs-pointer", "html-instead-of-weights"})


def _is_of_a_value(one: Finding) -> bool:
    """Whether it is about a value of a model's config, which was read."""
    return bool(one.evidence) and all(seen.file == "config.json" and seen.found for seen in one.evidence)


def _without_echoes(findings: list[Finding]) -> list[Finding]:
    """Leave out what another finding explains: shapes of packed or unreadable files are no evidence of another base."""
    codes = {one.code for one in findings}
    hidden: set[str] = set()
    if codes & {"quantized-base-packed", "quantized-base-unmergeable"}:
        hidden |= {"wrong-base-hidden-size", "architecture-drift", "dtype-drift"}
    if any(one.code in _DAMAGE and not _is_of_a_value(one) for one in findings):
        hidden |= {"wrong-base-architecture", "wrong-base-layers", "unmatched-adapter-keys", "unpaired-lora"}
    if {"wrong-base-hidden-size", "wrong-base-architecture"} & {
        one.code for one in findings if one.severity == "blocker"
    }:
        hidden |= {"vocab-mismatch", "vocab-grown", "vocab-shrunk-padded", "padding-mismatch", "vocab-rows-not-saved"}
    return [one for one in findings if one.code not in hidden]
