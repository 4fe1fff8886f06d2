"""What a manifest of schema 2 says so that the training run itself can be repeated. All of it may be absent."""

from __future__ import annotations

from typing import Any

import msgspec


class CodeInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The code that ran: `script` and its digest, `module` where it was started by `-m`, `directory` it was started in.

    `files` maps the files that it imported and no package installed to their sha256: by paths relative to `folder`, or
    whole ones where they lie elsewhere; `named` likewise those that the command names, as they were before the run, by
    paths relative to `directory`. `path`: the folders that they were imported from, but for that of the script.
    `left_out`: how many imported files have no digest.
    """

    script: str | None = None
    sha256: str | None = None
    module: str | None = None
    directory: str | None = None
    folder: str | None = None
    files: dict[str, str] = {}
    named: dict[str, str] = {}
    path: tuple[str, ...] = ()
    left_out: int | None = None


class DataFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that a dataset was made of: `size` and `changed` (nanoseconds) when it was loaded, its digest after the
    run where it was still the same. All absent for a file of the Hub."""

    size: int | None = None
    changed: int | None = None
    sha256: str | None = None


class DatasetInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A dataset that was loaded, or (`kind`, without a name) that the trainer was given.

    Of a list in memory: `order` is a digest over its rows as they come, `members` one whatever their order.
    """

    name: str | None = None
    repository: str | None = None
    commit: str | None = None
    config: str | None = None
    split: str | None = None
    kind: str | None = None
    fingerprint: str | None = None
    rows: int | None = None
    order: str | None = None
    members: str | None = None
    columns: tuple[str, ...] = ()
    files: dict[str, DataFile] = {}


class TensorDigests(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`digest` over all trained tensors with their names, dtypes and shapes; 16 hex digits for each of `tensors`.

    `sampled`: they were too large, and evenly spaced elements stand for them.
    """

    digest: str | None = None
    count: int | None = None
    sampled: bool = False
    tensors: dict[str, str] = {}


class GeneratorStates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`seed` of torch and digests of the states of random generators, before an adapter was made."""

    seed: int | None = None
    generators: dict[str, str] = {}


class InitialState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Before the first step: the adapter, the generators; `made` are the generators before the adapter was made."""

    adapter: TensorDigests | None = None
    generators: dict[str, str] = {}
    made: GeneratorStates | None = None


class TrainingInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One trainer's run up to this save.

    `arguments` are the trainer's hyperparameters without secrets, `kernels` how torch computed, `dataset` what the
    trainer was given, `datasets` what was loaded, `trace` the name of the trace beside this manifest. `first_step` is
    above 1 after a resume.
    """

    output: str | None = None
    resumed_from: str | None = None
    resumed_generators: bool | None = None
    world_size: int | None = None
    accumulation: int | None = None
    batch_size: int | None = None
    steps: int | None = None
    first_step: int | None = None
    max_steps: int | None = None
    arguments: dict[str, Any] = {}
    collator: str | None = None
    scheduler: str | None = None
    optimizer: dict[str, Any] = {}
    loader: dict[str, Any] = {}
    kernels: dict[str, Any] = {}
    dataset: DatasetInfo | None = None
    datasets: tuple[DatasetInfo, ...] = ()
    initial: InitialState | None = None
    final: TensorDigests | None = None
    trace: str | None = None
