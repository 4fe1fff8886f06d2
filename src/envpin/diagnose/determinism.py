"""What would keep a recorded training run from being repeated: findings on its manifest alone. Pure."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from envpin.core.findings import Evidence
from envpin.core.sizes import counted, verb
from envpin.diagnose.catalogue.catalogue import finding
from envpin.manifest.training import TrainingInfo
from envpin.manifest.types import RunInfo, is_local

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.core.findings import Finding
    from envpin.manifest.types import Manifest

# A seed that somebody chose is a small number; torch's own first one has 53 random bits or more.
_DRAWN = 2**32
_WORKSPACES = frozenset({":4096:8", ":16:8"})


def determinism_findings(manifest: Manifest) -> tuple[Finding, ...]:
    """What is known to make this run differ from its repeat, most severe first; empty where nothing was recorded.

    `manifest` may be that of a run which has saved nothing yet.
    """
    training = manifest.training or TrainingInfo()
    found = [
        *_seeds(manifest, training),
        *_loading(training),
        *_inputs(manifest, training),
        *_kernels(manifest, training),
        *_code(manifest, training),
    ]
    return tuple(sorted(found, key=lambda one: one.sort_key))


def _seeds(manifest: Manifest, training: TrainingInfo) -> Iterator[Finding]:
    made = training.initial.made if training.initial else None
    seed = training.arguments.get("seed")
    if made is not None and made.seed is not None and made.seed >= _DRAWN:
        message = (
            f"the adapter was made before the trainer seeded with {seed}" if seed is not None else "unseeded adapter"
        )
        yield finding("adapter-before-seed", message, [Evidence(found=f"torch's own seed {made.seed}")])
    torch = (manifest.run or RunInfo()).seeds.get("torch")
    if torch is not None and torch >= _DRAWN:
        yield finding("run-without-seed", "nothing seeded torch", [Evidence(found=f"torch's own seed {torch}")])
    if training.resumed_from is not None and training.resumed_generators is False:
        yield finding("resumed-without-generators", f"`{training.resumed_from}` holds no states of random generators")


def _loading(training: TrainingInfo) -> Iterator[Finding]:
    loader = training.loader
    workers = loader.get("workers")
    if isinstance(workers, int) and workers > 0 and loader.get("worker_init") is False:
        yield finding(
            "loader-workers-unseeded",
            f"{counted(workers, 'worker')} of the loader {verb(workers, 'is', 'are')} not seeded",
        )
    sampler = str(loader.get("sampler") or "")
    if sampler.startswith("torch.") and sampler.endswith(".RandomSampler") and loader.get("generator") is False:
        yield finding("shuffled-by-global-generator", f"`{sampler}` draws from torch's global generator")
    if training.world_size is not None and training.world_size > 1:
        rows = (training.batch_size or 1) * (training.accumulation or 1) * training.world_size
        yield finding(
            "world-size-in-batch",
            f"{counted(training.world_size, 'process')} share the {counted(rows, 'row')} of a step",
        )


def _inputs(manifest: Manifest, training: TrainingInfo) -> Iterator[Finding]:
    for one in training.datasets:
        if one.repository is not None and one.commit is None:
            yield finding("dataset-without-commit", f"`{one.repository}` was loaded without a known commit")
        lost = [name for name, file in one.files.items() if file.size is not None and file.sha256 is None]
        if lost and manifest.saved is not None:  # before, nothing was digested yet
            yield finding("data-without-digest", (f"{counted(len(lost), 'file')} of `{one.name}` "
                f"{verb(len(lost), 'has', 'have')} no digest"),
                          [Evidence(file=name) for name in lost[:3]])  # fmt: skip
    base = manifest.base
    if base is not None and base.id is not None and not (base.commit or base.files or base.weights):
        yield finding("base-without-commit", f"`{base.id}` was loaded, and which state of it is not known")


def _kernels(manifest: Manifest, training: TrainingInfo) -> Iterator[Finding]:
    kernels, variables = training.kernels, (manifest.run or RunInfo()).environment
    flash = str(kernels.get("attention", "")).startswith("flash_attention")
    if flash and variables.get("FLASH_ATTENTION_DETERMINISTIC") != "1":
        yield finding("flash-attention-backward", f"the attention is {kernels['attention']}")
    if kernels.get("remote_code"):
        yield finding("remote-code-in-training", f"the model is `{kernels['remote_code']}`")
    if manifest.torch is None or not manifest.torch.gpus or not kernels or kernels.get("device") == "cpu":
        return
    if kernels.get("deterministic_algorithms") is False:
        yield finding("kernels-not-deterministic", "deterministic algorithms were not asked for")
    elif variables.get("CUBLAS_WORKSPACE_CONFIG") not in _WORKSPACES:
        yield finding("cublas-workspace-unset", "CUBLAS_WORKSPACE_CONFIG is not set")
    if kernels.get("cudnn_benchmark") is True:
        yield finding("cudnn-benchmark", "cuDNN chooses its kernels by their speed")
    if kernels.get("matmul_tf32") is True:
        yield finding("tf32-in-use", "matrices are multiplied in TF32")


def _code(manifest: Manifest, training: TrainingInfo) -> Iterator[Finding]:
    local = [one for one in manifest.distributions if is_local(one)]
    if local and manifest.training is not None:
        names = ", ".join(f"`{one.name}`" for one in local[:5])
        yield finding("editable-package", f"{names}: installed from a folder",
                      [Evidence(found=one.direct_url) for one in local[:3] if one.direct_url])  # fmt: skip
    git = manifest.run.git if manifest.run else None
    if manifest.code is None or manifest.code.script is None or not training.arguments:
        return
    if _is_installed(manifest.code.script, manifest):
        return
    if git is None or git.commit is None:
        yield finding("code-not-kept", f"`{manifest.code.script}` lies in no git repository")
    elif git.patch is not None and (git.patch.redacted or git.patch.left_out):
        reason = git.patch.left_out or "secrets were taken out of it"
        yield finding("code-not-kept", f"the changes of tracked files were not kept whole: {reason}")
    elif git.dirty and git.patch is None:
        yield finding("code-not-kept", "tracked files had changes, and they were not kept")


def _is_installed(script: str, manifest: Manifest) -> bool:
    """Whether a script came with a distribution, which is recorded by its version: a module of an installed trainer, or
    its command beside the interpreter."""
    path = PurePath(script)
    python = manifest.python.executable if manifest.python else None
    beside = python is not None and path.parent == PurePath(python).parent and path.suffix != ".py"
    return beside or not {"site-packages", "dist-packages"}.isdisjoint(path.parts)
