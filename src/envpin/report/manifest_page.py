"""The page of an `envpin.json`: what was recorded of a run, which of it can be checked, and what the bytes say now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envpin.core.sizes import counted
from envpin.manifest.compare import DECISIVE
from envpin.report.template import MARK, page
from envpin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpin.manifest.types import Manifest
    from envpin.report.held import HeldField

# From the docs of the manifest (docs/reference/manifest.md): what can be held against bytes that exist.
CHECKABLE = ("base.commit", "base.config_sha256", "base.files", "base.weights", "base.embedding_rows",
             "tokenizer.files", "tokenizer.length", "tokenizer.added", "saved.config", "saved.tensors", "saved.files",
             "resizes")  # fmt: skip
ABSENT = "not recorded"
_LONG = 400


class RecordedField(NamedTuple):
    """One field of the manifest as a person reads it. `checkable`: bytes could confirm it."""

    path: str
    value: str
    checkable: bool


class RecordSection(NamedTuple):
    title: str
    fields: tuple[RecordedField, ...]


def render_manifest(manifest: Manifest, *, place: str, held: Sequence[HeldField] | None = None) -> str:
    """The page as text. Without `held` the page says that nothing was compared."""
    found = list(held or ())
    tally = {state: sum(one.state == state for one in found) for state in ("equal", "differs", "missing",
                                                                          "not compared", ABSENT)}  # fmt: skip
    packages = sorted(((one, one.name in DECISIVE) for one in manifest.distributions),
                      key=lambda pair: (not pair[1], pair[0].name))  # fmt: skip
    return page(
        "manifest.html", place=place, manifest=manifest, sections=sections(manifest), held=found,
        compared=held is not None, tally=tally, packages=packages, generator=f"{MARK} {__version__}",
    )  # fmt: skip


def sections(manifest: Manifest) -> tuple[RecordSection, ...]:
    """Every field that a person asks for, in the order of the questions; what is absent says so."""
    run, base, torch, saved = manifest.run, manifest.base, manifest.torch, manifest.saved
    python, tokenizer, trainer = manifest.python, manifest.tokenizer, manifest.trainer
    return (
        RecordSection("The run", (
            _field("run.argv", " ".join(run.argv) if run and run.argv else None),
            _field("run.started", run.started if run else None),
            _field("run.saved", run.saved if run else None),
            _field("run.git", f"{run.git.commit}{_dirty(run.git.dirty)}" if run and run.git else None),
            _field("run.world_size", run.world_size if run else None),
            _field("run.seeds", _pairs(run.seeds) if run else None),
            _field("run.environment", _pairs(run.environment) if run else None),
        )),
        RecordSection("The trainer", (
            _field("trainer.class_name", trainer.class_name if trainer else None),
            _field("trainer.package", _versioned(trainer.package, trainer.package_version) if trainer else None),
            _field("trainer.global_step", trainer.global_step if trainer else None),
            _field("trainer.seed", trainer.seed if trainer else None),
        )),
        RecordSection("The base, as it was loaded", (
            _field("base.id", base.id if base else None),
            _field("base.path", base.path if base else None),
            _field("base.commit", base.commit if base else None),
            _field("base.config_sha256", base.config_sha256 if base else None),
            _field("base.files", counted(len(base.files), "digest") if base and base.files else None),
            _field("base.weights", counted(len(base.weights), "sample") if base and base.weights else None),
            _field("base.embedding_rows", base.embedding_rows if base else None),
            _field("base.architecture", base.architecture if base else None),
            _field("base.dtype", base.dtype if base else None),
            _field("base.quantization", base.quantization if base else None),
            _field("base.observed", base.observed if base else None),
        )),
        RecordSection("Tokenizer and vocabulary", (
            _field("tokenizer.class_name", tokenizer.class_name if tokenizer else None),
            _field("tokenizer.length", tokenizer.length if tokenizer else None),
            _field("tokenizer.added_in_run", ", ".join(tokenizer.added_in_run) if tokenizer else None),
            _field("tokenizer.files",
                   counted(len(tokenizer.files), "digest") if tokenizer and tokenizer.files else None),
            _field("resizes",
                   "; ".join(f"{one.rows_before} → {counted(one.rows_after, 'row')}" for one in manifest.resizes)),
        )),
        RecordSection("What was saved", (
            _field("saved.kind", saved.kind if saved else None),
            _field("saved.config", _pairs(saved.config or {}) if saved else None),
            _field("saved.tensors", counted(len(saved.tensors), "tensor") if saved and saved.tensors else None),
            _field("saved.files", counted(len(saved.files), "digest") if saved and saved.files else None),
        )),
        RecordSection("Interpreter and machine", (
            _field("python.version", _versioned(python.implementation, python.version) if python else None),
            _field("python.platform", _joined(python.platform, python.machine, python.libc) if python else None),
            _field("torch.version", torch.version if torch else None),
            _field("torch.cuda", _joined(torch.cuda, torch.hip, torch.driver) if torch else None),
            _field("torch.gpus", ", ".join(one.name for one in torch.gpus) if torch else None),
        )),
    )  # fmt: skip


def _field(path: str, value: object) -> RecordedField:
    text = ABSENT if value is None or value in ("", ()) else str(value)
    return RecordedField(path, text if len(text) <= _LONG else f"{text[:_LONG]}…", path in CHECKABLE)


def _pairs(values: dict[str, object] | dict[str, str] | dict[str, int]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items() if value is not None)


def _joined(*words: str | None) -> str:
    return " ".join(word for word in words if word)


def _versioned(name: str | None, version: str | None) -> str | None:
    return _joined(name, version) or None


def _dirty(dirty: bool | None) -> str:
    return {True: ", with changes that were not committed", False: "", None: ", changes not recorded"}[dirty]
