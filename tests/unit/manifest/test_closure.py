"""What a manifest asks the index for, and how the rebuilt environment is judged against it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envpin.manifest.closure import MERGE_CLOSURE, REQUIRED, closure_of
from envpin.manifest.types import Distribution, Manifest, PythonInfo, TorchInfo
from envpin.replay.verdict import RebuiltEnvironment, judge

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


def test_the_closure_is_pinned_and_the_training_stack_only_constrains() -> None:
    closure = closure_of(manifest())
    assert "torch==2.4.0" in closure.requirements
    assert "transformers==4.43.1" in closure.requirements
    assert not any(one.startswith(("deepspeed", "regex")) for one in closure.requirements)
    assert "regex==2024.7.24" in closure.constraints
    assert closure.missing == ()
    assert closure.unpinnable == ()


def test_what_no_index_can_give_back_is_named() -> None:
    closure = closure_of(
        manifest(
            transformers=Distribution(
                name="transformers", version="4.44.0.dev0", direct_url="git+https://example.org/t"
            ),
            peft=Distribution(name="peft", version="0.12.0", editable=True),
            accelerate=Distribution(name="accelerate", version="not a version"),
        )
    )
    assert {(one.name, one.reason) for one in closure.unpinnable} == {
        ("transformers", "installed from source"),
        ("peft", "installed in editable mode"),
        ("accelerate", "not a version"),
    }
    verdict = judge(manifest(), closure, rebuilt())
    assert verdict.kind == "mismatch"


def test_a_wheel_from_elsewhere_can_still_be_pinned() -> None:
    closure = closure_of(
        manifest(peft=Distribution(name="peft", version="0.12.0", direct_url="file:///x/peft-0.12.0.whl"))
    )
    assert closure.unpinnable == ()


def test_missing_packages_are_reported() -> None:
    assert closure_of(Manifest(schema=1)).missing == REQUIRED


NAMES = st.sampled_from([*MERGE_CLOSURE, "evil-package", "deepspeed", "sentencepiece"])
VERSIONS = st.one_of(st.text(max_size=12), st.sampled_from(["1.0", "2.4.0+cu121", "1.0.dev1", "1!2", "0"]))


@given(st.lists(st.builds(Distribution, name=NAMES, version=VERSIONS, editable=st.booleans()), max_size=12))
def test_no_manifest_can_ask_for_a_package_outside_the_closure(distributions: list[Distribution]) -> None:
    closure = closure_of(Manifest(schema=1, distributions=tuple(distributions)))
    for requirement in closure.requirements:
        assert requirement.partition("==")[0] in {*MERGE_CLOSURE, "sentencepiece", "protobuf", "tiktoken"}
        assert "@" not in requirement
        assert "\n" not in requirement
        assert ";" not in requirement
