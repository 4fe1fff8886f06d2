"""How a rebuilt environment is judged against the manifest."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from envpin.manifest.base_weights import WeightsComparison, WeightsDifference
from envpin.manifest.closure import closure_of
from envpin.manifest.types import Distribution, Manifest, PythonInfo, SavedInfo, TorchInfo
from envpin.replay.verdict import (
    EnvironmentDifference,
    RebuiltEnvironment,
    Verdict,
    asked_for,
    judge,
    judge_adapter,
    judge_base,
)

RECORDED = {
    "torch": "2.4.0+cu121", "transformers": "4.43.1", "peft": "0.12.0", "safetensors": "0.4.3", "tokenizers": "0.19.1",
    "accelerate": "0.33.0", "huggingface-hub": "0.24.3", "numpy": "1.26.4", "regex": "2024.7.24",
    "deepspeed": "0.14.4",
}  # fmt: skip


def manifest(**changes: Distribution) -> Manifest:
    distributions = {name: Distribution(name=name, version=version) for name, version in RECORDED.items()}
    distributions.update(changes)
    return Manifest(
        schema=1,
        distributions=tuple(distributions.values()),
        python=PythonInfo(version="3.11.7", platform="linux-x86_64"),
        torch=TorchInfo(version="2.4.0+cu121", cuda="12.1"),
    )


def rebuilt(**changes: str) -> RebuiltEnvironment:
    packages = {name: version for name, version in RECORDED.items() if name != "deepspeed"}
    packages["torch"] = "2.4.0"
    packages.update(changes)
    return RebuiltEnvironment(packages=packages, python="3.11.7", platform="linux-x86_64", torch="2.4.0+cu121")


def test_identical() -> None:
    verdict = judge(manifest(), closure_of(manifest()), rebuilt())
    assert verdict.kind == "identical", verdict.differences


def test_drift_is_named_and_classed() -> None:
    other = RebuiltEnvironment(
        packages={**rebuilt().packages, "regex": "2025.1.1"}, python="3.11.9", platform="linux-aarch64", torch="2.4.0"
    )
    verdict = judge(manifest(), closure_of(manifest()), other)
    assert verdict.kind == "explained-drift"
    assert {(one.what, one.cls) for one in verdict.differences} == {
        ("python", "python-patch"), ("platform", "platform"), ("torch", "torch-build"), ("regex", "dependency"),
    }  # fmt: skip


def test_another_version_is_a_mismatch() -> None:
    verdict = judge(manifest(), closure_of(manifest()), rebuilt(peft="0.13.0"))
    assert verdict.kind == "mismatch"
    assert [(one.what, one.recorded, one.rebuilt) for one in verdict.differences] == [("peft", "0.12.0", "0.13.0")]


def test_a_package_that_is_gone_is_a_mismatch() -> None:
    packages = dict(rebuilt().packages)
    del packages["accelerate"]
    verdict = judge(
        manifest(),
        closure_of(manifest()),
        RebuiltEnvironment(packages=packages, python="3.11.7", platform="linux-x86_64"),
    )
    assert verdict.kind == "mismatch"


def test_without_a_manifest_there_is_nothing_to_compare() -> None:
    assert judge(None, None, rebuilt()).kind == "unrecorded"


@pytest.mark.parametrize(
    ("changes", "what", "cls", "kind"),
    [
        ({"python": "3.11.9"}, "python", "python-patch", "explained-drift"),
        ({"python": "3.12.7"}, "python", "python-minor", "explained-drift"),
        ({"python": "4.11.7"}, "python", "python-minor", "explained-drift"),
        ({"platform": "darwin-arm64"}, "platform", "platform", "explained-drift"),
        ({"torch": "2.4.0+cpu"}, "torch", "torch-build", "explained-drift"),
        ({"package": ("regex", "2025.1.1")}, "regex", "dependency", "explained-drift"),
        ({"package": ("a-new-one", "1.0")}, "a-new-one", "dependency", "explained-drift"),
        ({"package": ("peft", "0.12.1")}, "peft", "version", "mismatch"),
        ({"package": ("numpy", "1.26.5")}, "numpy", "version", "mismatch"),
        ({"package": ("safetensors", None)}, "safetensors", "missing", "mismatch"),
    ],
)
def test_each_difference_has_its_class_and_the_class_its_verdict(
    changes: dict[str, Any], what: str, cls: str, kind: str
) -> None:
    packages = dict(rebuilt().packages)
    other = {name: value for name, value in changes.items() if name != "package"}
    if "package" in changes:
        name, version = changes["package"]
        packages = {one: said for one, said in {**packages, name: version}.items() if said is not None}
    verdict = judge(manifest(), closure_of(manifest()), msgspec.structs.replace(rebuilt(), packages=packages, **other))
    assert [(one.what, one.cls) for one in verdict.differences] == [(what, cls)]
    assert verdict.kind == kind


def differences(other: RebuiltEnvironment, **changes: Distribution) -> list[tuple[str, str, str, str]]:
    recorded = manifest(**changes)
    found = judge(recorded, closure_of(recorded), other).differences
    return [(one.what, one.recorded, one.rebuilt, one.cls) for one in found]


def test_a_difference_says_both_sides() -> None:
    plain = rebuilt()
    without = {name: version for name, version in plain.packages.items() if name != "peft"}
    assert differences(msgspec.structs.replace(plain, python="3.12.7")) == [
        ("python", "3.11.7", "3.12.7", "python-minor")
    ]
    assert differences(msgspec.structs.replace(plain, platform="win32")) == [
        ("platform", "linux-x86_64", "win32", "platform")
    ]
    assert differences(msgspec.structs.replace(plain, torch="2.4.0")) == [
        ("torch", "2.4.0+cu121", "2.4.0", "torch-build")
    ]
    assert differences(rebuilt(more="1.0")) == [("more", "absent", "1.0", "dependency")]
    assert differences(msgspec.structs.replace(plain, packages=without)) == [("peft", "0.12.0", "absent", "missing")]
    editable = Distribution(name="peft", version="0.12.0", editable=True)
    assert differences(plain, peft=editable) == [
        ("peft", "0.12.0, installed in editable mode", "a release of the index", "source")
    ]


def test_a_machine_is_compared_where_both_sides_name_one() -> None:
    recorded = msgspec.structs.replace(manifest(), python=PythonInfo(version="3.11.7", machine="x86_64"))
    for machine, expected in (("arm64", [("machine", "x86_64", "arm64")]), ("X86_64", []), ("", [])):
        other = msgspec.structs.replace(rebuilt(), machine=machine)
        found = judge(recorded, closure_of(recorded), other).differences
        assert [(one.what, one.recorded, one.rebuilt) for one in found] == expected


def test_a_torch_that_one_side_does_not_name_is_no_difference() -> None:
    assert differences(msgspec.structs.replace(rebuilt(), torch=None)) == []
    recorded = msgspec.structs.replace(manifest(), torch=None)
    assert judge(recorded, closure_of(recorded), rebuilt()).kind == "identical"
    assert (
        judge(manifest(), None, rebuilt()).kind == judge(None, closure_of(manifest()), rebuilt()).kind == "unrecorded"
    )


@pytest.mark.parametrize("name", ["nvidia-cublas-cu12", "triton", "cuda-bindings"])
def test_the_companions_of_a_cuda_build_are_no_difference(name: str) -> None:
    verdict = judge(manifest(), closure_of(manifest()), rebuilt(**{name: "1.0"}))
    assert verdict.kind == "identical"


@pytest.mark.parametrize(
    ("environment", "weights", "kind"),
    [
        ("identical", "equal", "identical"),
        ("identical", "sampled", "identical-environment"),
        ("identical", "not compared", "identical-environment"),
        ("identical", "not recorded", "identical-environment"),
        ("identical", "differ", "mismatch"),
        ("explained-drift", "equal", "explained-drift"),
        ("explained-drift", "not recorded", "explained-drift"),
        ("explained-drift", "differ", "mismatch"),
        ("unrecorded", "equal", "unrecorded"),
        ("unrecorded", "not recorded", "unrecorded"),
        ("unrecorded", "differ", "mismatch"),
        ("mismatch", "equal", "mismatch"),
    ],
)
def test_judge_base_never_counts_as_equal_what_was_not_compared(environment: Any, weights: Any, kind: str) -> None:
    verdict = judge_base(Verdict(kind=environment), WeightsComparison(weights, reason="why"))
    assert (verdict.kind, verdict.base_weights, verdict.base_reason) == (kind, weights, "why")


def test_judge_base_names_each_file_that_differs() -> None:
    drift = EnvironmentDifference(what="regex", recorded="1", rebuilt="2", cls="dependency")
    weights = WeightsComparison(
        "differ", (WeightsDifference("model.safetensors", "aaaa", "bbbb"), WeightsDifference("x", "cccc", None))
    )
    verdict = judge_base(Verdict(kind="explained-drift", differences=(drift,)), weights)
    assert [(one.what, one.recorded, one.rebuilt, one.cls) for one in verdict.differences] == [
        ("regex", "1", "2", "dependency"),
        ("base model.safetensors", "aaaa", "bbbb", "base-weights"),
        ("base x", "cccc", "absent", "base-weights"),
    ]


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        ("identical", "explained-drift"), ("identical-environment", "explained-drift"),
        ("explained-drift", "explained-drift"), ("unrecorded", "unrecorded"), ("mismatch", "mismatch"),
    ],
)  # fmt: skip
def test_an_adapter_that_was_changed_since_is_never_identical(before: Any, kind: str) -> None:
    saved = SavedInfo(kind="adapter", files={"adapter_model.safetensors": "aaaa", "adapter_config.json": "cccc"})
    found = {"adapter_model.safetensors": "bbbb", "adapter_config.json": "dddd"}
    verdict = judge_adapter(Verdict(kind=before), Manifest(schema=1, saved=saved), found)
    assert verdict.kind == kind
    assert [(one.what, one.recorded, one.rebuilt, one.cls) for one in verdict.differences] == [
        ("adapter_model.safetensors", "aaaa", "bbbb", "adapter")
    ]


@pytest.mark.parametrize("saved", [None, SavedInfo(), SavedInfo(files={"adapter_model.safetensors": "aaaa"})])
def test_an_adapter_that_was_not_digested_or_is_the_same_changes_no_verdict(saved: SavedInfo | None) -> None:
    verdict = Verdict(kind="identical")
    files = {"adapter_model.safetensors": "aaaa"}
    assert judge_adapter(verdict, Manifest(schema=1, saved=saved), files) == verdict
    assert judge_adapter(verdict, None, files) == verdict


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        ({}, []),
        ({"base_model_name_or_path": "elsewhere", "revision": "main", "inference_mode": False}, []),
        ({"target_modules": ["v_proj", "q_proj"], "use_dora": None, "lora_alpha": 8.0}, []),
        ({"lora_alpha": 16}, ["`lora_alpha` of adapter_config.json was 8, is 16"]),
        ({"use_rslora": True}, ["`use_rslora` of adapter_config.json was absent, is true"]),
        ({"alpha_pattern": {"q_proj": 3}}, ['`alpha_pattern` of adapter_config.json was {}, is {"q_proj":3}']),
        (
            {"target_modules": ["q_proj"]},
            ['`target_modules` of adapter_config.json was ["q_proj","v_proj"], is ["q_proj"]'],
        ),
    ],
)
def test_an_adapter_whose_settings_changed_is_never_identical(now: dict[str, Any], changed: list[str]) -> None:
    recorded = {"lora_alpha": 8, "alpha_pattern": {}, "target_modules": ["q_proj", "v_proj"], "use_dora": False}
    saved = SavedInfo(kind="adapter", config={**recorded, "base_model_name_or_path": "here"})
    verdict = judge_adapter(
        Verdict(kind="identical"), Manifest(schema=1, saved=saved), {}, settings={**recorded, **now}
    )
    assert [f"{one.what} was {one.recorded}, is {one.rebuilt}" for one in verdict.differences] == changed
    assert verdict.kind == ("explained-drift" if changed else "identical")


@pytest.mark.parametrize(
    ("recorded", "kind"), [(["aaaa"], "identical"), ([None], "identical"), (["aaaa", "bbbb"], "explained-drift")]
)
def test_a_base_with_another_config_is_never_identical(recorded: list[str | None], kind: str) -> None:
    weights = WeightsComparison("equal")
    verdict = judge_base(Verdict(kind="identical"), weights, config="aaaa", recorded=recorded)
    assert verdict.kind == kind
    assert [one.cls for one in verdict.differences] == (["base-config"] if kind != "identical" else [])


def test_a_package_with_another_local_label_is_named() -> None:
    verdict = judge(manifest(), closure_of(manifest()), rebuilt(transformers="4.43.1+patched"))
    assert verdict.kind == "explained-drift"
    assert [(one.what, one.rebuilt, one.cls) for one in verdict.differences] == [
        ("transformers", "4.43.1+patched", "dependency")
    ]


@pytest.mark.parametrize(("peft", "kind"), [("0.12.0", "identical"), ("0.13.0", "unrecorded")])
def test_an_environment_that_was_asked_for_is_compared_and_never_a_mismatch(peft: str, kind: str) -> None:
    verdict = asked_for(judge(manifest(), closure_of(manifest()), rebuilt(peft=peft)))
    assert verdict.kind == kind
    assert bool(verdict.differences) == (kind != "identical")


def test_verdict_of_an_older_record_says_that_the_base_was_not_recorded() -> None:
    old = msgspec.json.decode(b'{"kind": "identical", "differences": []}', type=Verdict)
    assert old.base_words == "not recorded"
