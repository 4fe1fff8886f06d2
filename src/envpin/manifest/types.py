"""The types of `envpin.json`, schema 2, and 1, which lacks `code` and `training`. Frozen, keyword-only; unknown fields
of a newer minor writer are ignored.

Every field is *checkable* (against bytes that exist: digests, shapes, rows) or *declared* (argv, GPUs, versions). The
hook writes this document with the standard library alone, so every field but `schema` has a default: what could not
be found out is absent, never guessed. docs/reference/manifest.md explains every field; envpin.schema.json is made from
these types.
"""

from __future__ import annotations

from typing import Any

import msgspec

from envpin.manifest.training import CodeInfo, TrainingInfo  # noqa: TC001  types of fields

SCHEMA = 2


class Distribution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One installed distribution of the training interpreter. `version` keeps its local label (`2.4.0+cu121`).

    `direct_url` is set where it did not come from an index (PEP 610), in a form that pip takes, without credentials.
    """

    name: str
    version: str
    direct_url: str | None = None
    editable: bool = False


def is_local(distribution: Distribution) -> bool:
    """Whether a distribution comes from a folder or file of the machine, so that its version says little."""
    return distribution.editable or (distribution.direct_url or "").startswith("file:")


class CondaPackage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One package of the conda environment that the run was in: those of pip are distributions only."""

    name: str
    version: str | None = None
    build: str | None = None
    channel: str | None = None


class PythonInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    version: str | None = None
    implementation: str | None = None
    build: str | None = None
    platform: str | None = None
    machine: str | None = None
    libc: str | None = None
    executable: str | None = None


class Gpu(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    capability: str | None = None
    memory: int | None = None


class TorchInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`version` is `torch.__version__`, which may carry a label that the distribution does not."""

    version: str | None = None
    cuda: str | None = None
    hip: str | None = None
    driver: str | None = None
    gpus: tuple[Gpu, ...] = ()


class PatchInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`envpin.patch`: what `git diff` said at the start of the run. `redacted`: secrets were taken out of it, so that
    it no longer gives the code that ran; `left_out` says why there is no file."""

    file: str | None = None
    sha256: str | None = None
    size: int | None = None
    redacted: bool = False
    left_out: str | None = None


class GitState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The repository of the working directory before the run. `root` is where it lay; `patch` the changes of tracked
    files beside this manifest."""

    commit: str | None = None
    dirty: bool | None = None
    root: str | None = None
    patch: PatchInfo | None = None


class RunInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The run. `argv` is what was typed after `--`, `process_argv` the process that saved; both without secrets.

    `id` is the same in every manifest of one run. `started` and `saved` are UTC, RFC 3339. `git` is the state of the
    working directory's repository before the run. `seeds` holds `torch`, the value of `torch.initial_seed()`. `status`
    is what the command ended with, where that was not 0: 128 and its number for a signal.
    """

    id: str | None = None
    argv: tuple[str, ...] = ()
    process_argv: tuple[str, ...] = ()
    started: str | None = None
    saved: str | None = None
    status: int | None = None
    world_size: int | None = None
    git: GitState | None = None
    environment: dict[str, str] = {}
    seeds: dict[str, int] = {}


class WeightSample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is quickly known of one safetensors file: its bytes, the digest of its header (the length before it
    included), and that of 16 blocks of 16 KiB, evenly spaced from its start to its end."""

    size: int
    header_sha256: str
    blocks_sha256: str


class BaseModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base as it was really loaded. `embedding_rows` is before any resize; `commit` the Hub commit of its files.

    `id` is the name it was loaded by, where that was no absolute path; `path` the folder whose config was read;
    `revision` what the run asked for, where that was not `main`; `quantization` the quantization config in force;
    `config_sha256` the digest of the config.json that was read; `files` maps weights to their sha256: those of a Hub
    cache by their names there, those of a local folder digested when the run was over. `weights` are samples of the
    latter, taken when they were loaded; `stored_quantized` says that the weights lie quantized in their files.
    `observed` is `at-save` where loading was not seen, so that the model itself had to tell; `attached` where the run
    was not seen at all.
    """

    id: str | None = None
    path: str | None = None
    commit: str | None = None
    config_sha256: str | None = None
    model_type: str | None = None
    architecture: str | None = None
    embedding_rows: int | None = None
    tie_word_embeddings: bool | None = None
    dtype: str | None = None
    quantization: dict[str, Any] | None = None
    revision: str | None = None
    files: dict[str, str] = {}
    weights: dict[str, WeightSample] = {}
    stored_quantized: bool | None = None
    observed: str | None = None


class TokenSample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    text: str
    ids: tuple[int, ...]


class TokenizerInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`length` is `len(tokenizer)`; `added` maps token to id; `files` maps a file name to its sha256.

    `source` is `saved` where the tokenizer was saved beside this manifest, `loaded` where the run only held it.
    `added_in_run` are the tokens that the run itself added. `samples` are ids of fixed texts, without special tokens.
    `rules_sha256` is a digest of a saved tokenizer.json without how it was last asked to truncate and pad.
    """

    class_name: str | None = None
    length: int | None = None
    added: dict[str, int] = {}
    added_in_run: tuple[str, ...] = ()
    source: str | None = None
    files: dict[str, str] = {}
    rules_sha256: str | None = None
    chat_template_sha256: str | None = None
    samples: tuple[TokenSample, ...] = ()


class Resize(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call of `resize_token_embeddings`, with its arguments and the rows before and after it."""

    new_num_tokens: int | None = None
    pad_to_multiple_of: int | None = None
    mean_resizing: bool | None = None
    rows_before: int | None = None
    rows_after: int | None = None


class TensorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    shape: tuple[int, ...]
    dtype: str


class SavedInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was saved beside this manifest. `kind` is `adapter` or `model`; `files` maps a file name to its sha256.

    `undigested` says of the other files why they have no digest; `tensors_left_out` counts tensors that were too many
    to list.
    """

    kind: str | None = None
    config: dict[str, Any] | None = None
    tensors: tuple[TensorInfo, ...] = ()
    tensors_left_out: int | None = None
    files: dict[str, str] = {}
    undigested: dict[str, str] = {}


class TrainerInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The trainer's class as `module.Class`, the package that it (or its nearest base) comes from, and its seeds."""

    class_name: str | None = None
    package: str | None = None
    package_version: str | None = None
    global_step: int | None = None
    seed: int | None = None
    data_seed: int | None = None


class Attached(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That the manifest was written after a run that was not recorded, by `record --attach`, at `at` (UTC, RFC 3339).

    `checked` are versions that a file of the folder names and the environment has; `declared` is what was assumed.
    """

    at: str | None = None
    checked: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The whole document. `envpin` is the version that recorded; `faults` what went wrong while recording."""

    schema: int
    envpin: str | None = None
    run: RunInfo | None = None
    python: PythonInfo | None = None
    distributions: tuple[Distribution, ...] = ()
    conda: tuple[CondaPackage, ...] = ()
    torch: TorchInfo | None = None
    base: BaseModel | None = None
    tokenizer: TokenizerInfo | None = None
    resizes: tuple[Resize, ...] = ()
    saved: SavedInfo | None = None
    trainer: TrainerInfo | None = None
    code: CodeInfo | None = None
    training: TrainingInfo | None = None
    attached: Attached | None = None
    faults: tuple[str, ...] = ()

    def version_of(self, name: str) -> str | None:
        """The recorded version of the distribution whose normalized name is `name`."""
        for distribution in self.distributions:
            if distribution.name == name:
                return distribution.version
        return None
