"""A manifest for a folder that was trained without being recorded: what its bytes tell, and what must be assumed.

The environment is the one that the user names. Whatever the folder says about versions is compared with it: what could
not be as it is with that environment is refused, what only speaks against it is a warning by name. That nothing was
upgraded since cannot be proved, so the manifest calls it declared.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from envpin.checkpoint.bases import find_base
from envpin.checkpoint.checkpoint import Checkpoint, open_checkpoint
from envpin.checkpoint.no_adapter import foreign_error, foreign_model_error
from envpin.core.adapter_format import foreign_model
from envpin.core.command_text import command_text
from envpin.core.errors import CheckFailedError, InputError, RefusedError, UsageError
from envpin.core.process import run
from envpin.core.sizes import counted
from envpin.core.typed_json import NOT_OF_ITS_SHAPE
from envpin.inference.traces import read_traces
from envpin.inference.trainers import recognise
from envpin.manifest.closure import REQUIRED
from envpin.manifest.read import FILE_NAME
from envpin.manifest.types import (
    SCHEMA,
    Attached,
    BaseModel,
    CondaPackage,
    Distribution,
    Manifest,
    PythonInfo,
    RunInfo,
    SavedInfo,
    TokenizerInfo,
    TorchInfo,
    TrainerInfo,
)
from envpin.manifest.write import write_manifest
from envpin.recording.compared import compare
from envpin.recording.injected import HOOK, hook
from envpin.version import __version__

if TYPE_CHECKING:
    from envpin.inference.trainers import Recognised

_PROGRAM = "import sys; sys.path.append({hook!r}); from _envpin_hook import describe; describe.main()"
# Reading what is installed takes a second; this is for disks that are slow, and a Python that hangs.
_TIMEOUT = 60.0  # seconds
# Packages installed over a day after the adapter was written may not be those of its run: said, not refused.
_OLD = dt.timedelta(days=1)
_PACKAGES = {"autotrain": "autotrain-advanced", "ms-swift": "ms-swift", "mlx-lm": "mlx-lm"}


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachOutcome:
    """`path` is the manifest; `checked` what bytes confirm, `declared` what is assumed, `warnings` what looks odd."""

    path: Path
    checked: tuple[str, ...]
    declared: tuple[str, ...]
    warnings: tuple[str, ...]


def attach(
    folder: Path, *, python: Path | None = None, base: str | None = None, overwrite: bool = False
) -> AttachOutcome:
    """Write `envpin.json` into `folder`, for the environment of the interpreter `python`, else the active one.

    Raises:
        RefusedError: there is one already, and `overwrite` was not asked for.
        InputError: `folder` or `base` cannot be read, or `python` is no interpreter with what training needs.
        UsageError: no environment is active.
        CheckFailedError: the folder could not be as it is with this environment.
    """
    path = folder / FILE_NAME
    read = open_checkpoint(folder)
    if path.exists() and not overwrite:
        raise RefusedError(
            f"`{path}` exists", hint="--force writes it anew; a recorded one knows more than this one can"
        )
    if read.foreign is not None:
        raise foreign_error(folder, read.foreign)
    if read.kind == "model" and (other := foreign_model(read.config or {})) is not None:
        raise foreign_model_error(folder, other)
    interpreter = python.absolute() if python is not None else _active()
    described = _describe(interpreter)
    distributions = msgspec.convert(described["distributions"], tuple[Distribution, ...])
    versions = {one.name: one.version for one in distributions}
    needed = [name for name in REQUIRED if name not in versions and (name != "peft" or read.kind != "model")]
    if needed:
        listed = ", ".join(f"`{name}`" for name in needed)
        raise InputError(
            f"`{interpreter}` has no {listed}, so nothing was trained with it",
            hint="name the interpreter of the training environment: --python PATH",
        )
    _require_weights(read, folder)
    python_info = msgspec.convert(described["python"], PythonInfo)
    compared = compare(read, versions, python_info.version)
    if compared.refuting:
        listed = "\n".join(f"  {line}" for line in compared.refuting)
        raise CheckFailedError(
            f"`{interpreter}` is not what wrote this folder\n{listed}",
            hint="name the interpreter of the training environment: --python PATH",
        )
    saved = _saved_at(read, folder)
    found = recognise(read_traces(folder, os.listdir(folder)))  # noqa: PTH208  names only
    described_base, how = _base(read, base)
    manifest = Manifest(
        schema=SCHEMA,
        envpin=__version__,
        run=RunInfo(id=os.urandom(8).hex(), saved=saved.strftime("%Y-%m-%dT%H:%M:%SZ")),
        python=python_info,
        distributions=distributions,
        conda=msgspec.convert(described["conda"], tuple[CondaPackage, ...]),
        torch=msgspec.convert(described["torch"], TorchInfo) if described["torch"] else None,
        base=described_base,
        tokenizer=_tokenizer(read, folder),
        saved=_saved(folder, "model" if read.kind == "model" else "adapter"),
        trainer=_trainer(found, versions),
        attached=Attached(
            at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            checked=compared.checked,
            declared=(f"the environment is that of {interpreter}, unchanged since training", *how),
        ),
    )
    write_manifest(path, manifest)
    declared = manifest.attached.declared if manifest.attached is not None else ()
    warnings = (*compared.doubts, *_warnings(saved, described["installed"], compared.checked, compared.lists))
    return AttachOutcome(path=path, checked=compared.checked, declared=declared, warnings=warnings)


def _active() -> Path:
    """The interpreter of the active environment; envpin's own is not the one that trained."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        root = os.environ.get(variable)
        if root:
            inside = ("python.exe", "Scripts/python.exe") if sys.platform == "win32" else ("bin/python",)
            for name in inside:
                if (Path(root) / name).exists():
                    return Path(root) / name
    raise UsageError(
        "no environment is active, so which one trained it cannot be known",
        hint="name its interpreter: envpin record --attach FOLDER --python PATH",
    )


def _describe(python: Path) -> dict[str, Any]:
    program = _PROGRAM.format(hook=str(HOOK))
    try:
        completed = run([str(python), "-c", program], timeout=_TIMEOUT)
        if completed.status == 0:
            found: dict[str, Any] = msgspec.json.decode(completed.stdout, type=dict[str, object])
            return found
        reason = completed.stderr.strip().rpartition("\n")[2][:200] or f"it ends with status {completed.status}"
    except (OSError, *NOT_OF_ITS_SHAPE) as failed:
        reason = str(failed)[:200]
    raise InputError(
        f"`{python}` cannot be asked what it is: {reason}", path=python, hint="--python takes an interpreter"
    )


def _require_weights(read: Checkpoint, folder: Path) -> None:
    """
    Raises:
        InputError: what the run saved is not there, or cannot be read.
    """
    hint = command_text("envpin", "check", folder)
    broken = next((one for one in read.read_faults if one.code != "duplicate-json-key"), None)
    if broken is not None:
        raise InputError(f"`{folder / broken.file}` cannot be recorded: {broken.message}", path=folder, hint=hint)
    if read.kind == "adapter" and not read.weight_files:
        raise InputError(f"`{folder}` holds no adapter_model.safetensors or adapter_model.bin", path=folder, hint=hint)


def _saved_at(read: Checkpoint, folder: Path) -> dt.datetime:
    times = [(folder / name).stat().st_mtime for name in read.weight_files if (folder / name).is_file()]
    return dt.datetime.fromtimestamp(max(times, default=folder.stat().st_mtime), dt.UTC)


def _base(read: Checkpoint, explicit: str | None) -> tuple[BaseModel | None, tuple[str, ...]]:
    """What the base is, where it can be found; and what of it is assumed."""
    if read.adapter_config is None:
        return None, ()
    named = read.adapter_config.get("base_model_name_or_path")
    try:
        found = find_base(read, explicit=explicit)
        base = found.checkpoint
    except InputError:
        if explicit is not None:
            raise
        name = named if isinstance(named, str) and not Path(named).is_absolute() else None
        return BaseModel(id=name, observed="attached"), ("the base, which was not found, is the one that is named",)
    config = base.config or {}
    architectures = config.get("architectures")
    tied = config.get("tie_word_embeddings")
    known = BaseModel(
        id=found.id or (named if isinstance(named, str) and not Path(named).is_absolute() else None),
        path=str(found.path.absolute()),
        commit=found.commit,
        config_sha256=base.sha256("config.json") if "config.json" in base.names else None,
        model_type=config.get("model_type") if isinstance(config.get("model_type"), str) else None,
        architecture=architectures[0] if isinstance(architectures, list) and architectures else None,
        embedding_rows=base.embedding_rows,
        tie_word_embeddings=tied if isinstance(tied, bool) else None,
        files=_weights(base),
        observed="attached",
    )
    return known, (f"the base is what lies at {found.path} now ({found.found})",)


def _weights(base: Checkpoint) -> dict[str, str]:
    """The digests of the base's weights: of a Hub cache by their names there, else of every byte."""
    known = base.published_digests()
    try:
        return {name: known.get(name) or base.sha256(name) for name in base.weight_files if name in base.names}
    except OSError as error:
        raise InputError(f"the weights of `{base.path}` cannot be read: {error}", path=str(base.path)) from error


def _tokenizer(read: Checkpoint, folder: Path) -> TokenizerInfo | None:
    if read.tokenizer is None:
        return None
    name = (read.tokenizer.config or {}).get("tokenizer_class")
    return TokenizerInfo(
        class_name=name if isinstance(name, str) else None,
        length=read.tokenizer.length,
        added=read.tokenizer.added,
        source="saved",
        files=hook("artefacts").tokenizer_files(str(folder), None),
    )


def _saved(folder: Path, kind: str) -> SavedInfo:
    try:
        return msgspec.convert(hook("artefacts").saved(str(folder), kind, None), SavedInfo)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"`{folder}` cannot be recorded: {error}", path=folder, hint=command_text("envpin", "check", folder)
        ) from error


def _trainer(found: Recognised | None, versions: dict[str, str]) -> TrainerInfo | None:
    if found is None:
        return None
    package = _PACKAGES.get(found.trainer, found.trainer)
    return TrainerInfo(package=package, package_version=versions.get(package, found.version))


def _warnings(
    saved: dt.datetime, installed: dict[str, float], checked: tuple[str, ...], listed: tuple[str, ...]
) -> tuple[str, ...]:
    found = [
        f"{name} was installed after the weights were written: was it upgraded since?"
        for name, moment in installed.items()
        if moment > saved.timestamp()
    ]
    age = dt.datetime.now(dt.UTC) - saved
    if age > _OLD:
        found.append(f"the weights are {counted(age.days, 'day')} old: the environment may have changed since")
    if not checked:
        source = (
            f"only {' and '.join(listed[:2])} names versions, by whatever hand"
            if listed
            else ("nothing in the folder names a version")
        )
        found.append(f"{source}, so nothing confirms that this environment wrote it")
    return tuple(found)
