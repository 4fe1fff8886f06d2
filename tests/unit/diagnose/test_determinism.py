"""What keeps a run from being repeated: each fault alone gives its finding, and a clean run gives none."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from envpin.diagnose.determinism import determinism_findings
from envpin.manifest.training import CodeInfo, DataFile, DatasetInfo, GeneratorStates, InitialState
from envpin.manifest.types import (
    BaseModel,
    Distribution,
    GitState,
    Gpu,
    Manifest,
    PatchInfo,
    PythonInfo,
    RunInfo,
    TorchInfo,
)
from tests.support.training_runs import KERNELS, manifest

COMMIT = "c" * 40
GPU = TorchInfo(gpus=(Gpu(name="H200"),))
SEEDED = InitialState(made=GeneratorStates(seed=7))
LOADER = {
    "workers": 0,
    "worker_init": True,
    "sampler": "accelerate.data_loader.SeedableRandomSampler",
    "generator": True,
}


def clean(**training: Any) -> Manifest:
    facts: dict[str, Any] = {"initial": SEEDED, "loader": LOADER, **training}
    run = RunInfo(seeds={"torch": 7}, git=GitState(commit=COMMIT, dirty=False), environment={})
    return replace(manifest(**facts), run=run)


def with_loader(**changes: Any) -> Manifest:
    return clean(loader={**LOADER, **changes})


def on_gpu(**kernels: Any) -> Manifest:
    own = {**KERNELS, "deterministic_algorithms": False, **kernels}
    return replace(clean(kernels=own), torch=GPU)


def with_run(**changes: Any) -> Manifest:
    made = clean()
    assert made.run is not None
    return replace(made, run=replace(made.run, **changes))


PLANTED: list[tuple[str, Manifest]] = [
    ("adapter-before-seed", clean(initial=InitialState(made=GeneratorStates(seed=2**50 + 1)))),
    ("run-without-seed", with_run(seeds={"torch": 2**50 + 1})),
    ("loader-workers-unseeded", with_loader(workers=2, worker_init=False)),
    ("shuffled-by-global-generator", with_loader(sampler="torch.utils.data.sampler.RandomSampler", generator=False)),
    ("dataset-without-commit", clean(datasets=(DatasetInfo(name="d", repository="org/d"),))),
    ("data-without-digest", clean(datasets=(DatasetInfo(name="d", files={"/a": DataFile(size=1, changed=1)}),))),
    ("base-without-commit", replace(clean(), base=BaseModel(id="org/base"))),
    ("kernels-not-deterministic", on_gpu()),
    ("cublas-workspace-unset", on_gpu(deterministic_algorithms=True)),
    ("cudnn-benchmark", on_gpu(cudnn_benchmark=True)),
    ("tf32-in-use", on_gpu(matmul_tf32=True)),
    ("flash-attention-backward", clean(kernels={**KERNELS, "attention": "flash_attention_2"})),
    ("remote-code-in-training", clean(kernels={**KERNELS, "remote_code": "transformers_modules.m.Model"})),
    ("editable-package", replace(clean(), distributions=(Distribution(name="mine", version="1", editable=True),))),
    ("world-size-in-batch", clean(world_size=2, batch_size=2, accumulation=4)),
    ("resumed-without-generators", clean(resumed_from="out/checkpoint-4", resumed_generators=False)),
    ("code-not-kept", with_run(git=None)),
    ("code-not-kept", with_run(git=GitState(commit=COMMIT, dirty=True))),
    ("code-not-kept", with_run(git=GitState(commit=COMMIT, dirty=True, patch=PatchInfo(file="p", redacted=True)))),
]


@pytest.mark.parametrize(("code", "made"), PLANTED, ids=[one[0] for one in PLANTED])
def test_a_run_with_one_fault_has_its_finding(code: str, made: Manifest) -> None:
    found = determinism_findings(made)
    assert code in {one.code for one in found}
    assert {one.code for one in found} <= {code, "kernels-not-deterministic"}
    assert all(one.fix for one in found)


def test_a_clean_run_and_one_without_a_record_have_none() -> None:
    assert determinism_findings(clean()) == ()
    assert determinism_findings(Manifest(schema=1)) == ()
    assert determinism_findings(replace(clean(), torch=TorchInfo())) == ()


def test_what_is_set_right_on_a_gpu_is_no_finding() -> None:
    right = on_gpu(deterministic_algorithms=True)
    assert right.run is not None
    variables = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "FLASH_ATTENTION_DETERMINISTIC": "1"}
    assert determinism_findings(replace(right, run=replace(right.run, environment=variables))) == ()
    assert determinism_findings(on_gpu(device="cpu")) == ()


def test_resuming_with_generators_and_seeded_workers_is_no_finding() -> None:
    assert determinism_findings(clean(resumed_from="out/checkpoint-4", resumed_generators=True)) == ()
    assert determinism_findings(with_loader(workers=4, worker_init=True)) == ()


def test_code_of_an_installed_trainer_is_kept_by_its_release() -> None:
    outside = with_run(git=None)
    for script in ("/e/lib/python3.11/site-packages/swift/cli/sft.py", "/e/bin/llamafactory-cli"):
        made = replace(outside, code=CodeInfo(script=script), python=PythonInfo(executable="/e/bin/python"))
        assert "code-not-kept" not in [one.code for one in determinism_findings(made)]
    own = replace(outside, code=CodeInfo(script="/e/bin/train.py"), python=PythonInfo(executable="/e/bin/python"))
    assert "code-not-kept" in [one.code for one in determinism_findings(own)]


def test_a_run_that_begins_has_no_digests_to_miss() -> None:
    lacking = clean(datasets=(DatasetInfo(name="json", files={"/w/rows.jsonl": DataFile(size=1, changed=1)}),))
    assert "data-without-digest" in [one.code for one in determinism_findings(lacking)]
    assert determinism_findings(replace(lacking, saved=None)) == ()
