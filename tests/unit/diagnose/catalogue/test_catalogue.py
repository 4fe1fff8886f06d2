"""The catalogue is complete, and its page is fresh."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError
from envpin.diagnose.catalogue.catalogue import (
    FOLDER,
    finding,
    findings_page,
    load_catalogue,
    load_groups,
    read_group,
)
from tests.support.places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# The names are a contract: tools script against them.
PROMISED = set(
    """
adapter-before-seed run-without-seed loader-workers-unseeded shuffled-by-global-generator dataset-without-commit
data-without-digest base-without-commit kernels-not-deterministic cublas-workspace-unset cudnn-benchmark tf32-in-use
flash-attention-backward remote-code-in-training editable-package world-size-in-batch resumed-without-generators
code-not-kept
vocab-grown vocab-shrunk-padded vocab-mismatch vocab-rows-not-saved padding-mismatch wrong-base-hidden-size
wrong-base-layers wrong-base-architecture base-not-found base-changed-since-training base-weights-differ rank-mismatch
empty-tensors-zero3
unpaired-lora unmatched-adapter-keys extra-adapter-tensors compile-prefix fsdp-prefix vlm-key-rename moe-layout
weights-not-finite model-tensors-missing
tied-head adapter-is-noop quantized-base-packed quantized-base-unmergeable quantization-differs lfs-pointer
html-instead-of-weights truncated-file corrupt-header duplicate-json-key missing-shard index-incomplete pickle-weights
config-needs-newer-transformers config-needs-older-transformers rope-config-unreadable rope-theta-lost
adapter-needs-newer-peft peft-transformers-incompatible tokenizer-needs-newer torch-too-old-for-bin remote-code-needed
remote-code-missing adapter-files-in-merged adapter-already-merged output-exists architecture-drift dtype-drift
transformers-api-changed generation-config-invalid torch-companion-mismatch numpy-abi meta-tensor-offload
out-of-memory foreign-format tensors-not-of-method method-shape-mismatch trained-weights-elsewhere layer-replication
base-change-lost task-head adapter-below adapter-needs-older-peft library-api-changed method-cannot-merge
shared-tensors serving-limit cuda-driver-too-old cuda-majors-mixed
adapter-not-found package-missing target-module-unsupported foreign-merge-incomplete
gpu-not-supported devices-differ nothing-requires-grad distributed-run-failed chat-template-missing
disk-full data-not-as-expected compiler-missing loss-not-finite process-start-refused
adapter-tensors-missing settings-refused index-out-of-range inputs-do-not-fit installation-broken library-fault
tokenizer-missing model-of-another-kind
""".split()  # noqa: SIM905  a list literal would be fifty lines
)


def test_every_promised_code_has_one_entry() -> None:
    assert sorted(code for group in load_groups() for code in group.causes) == sorted(PROMISED)


def test_every_file_of_the_folder_is_a_group() -> None:
    assert len(load_groups()) == len(list(FOLDER.glob("*.toml")))


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        (
            '[causes.x]\nmeaning = "m"\ndetected = "d"\nfix = []',
            "missing required field `severity` - at `$.causes[...]`",
        ),
        ('[causes.x]\nseverity = "bad"\nmeaning = "m"\ndetected = "d"\nfix = []', "'bad'"),
        ('[causes.x]\nseverity = "info"\nmeaning = "m"\ndetected = "d"\nfix = []\nfixes = []', "fixes"),
        ("[causes.x]\n[causes.x]", "Cannot declare"),
    ],
)
def test_an_entry_that_breaks_the_schema_is_refused(tmp_path: Path, entry: str, complaint: str) -> None:
    file = tmp_path / "files.toml"
    file.write_text(f'title = "t"\n{entry}\n')
    with pytest.raises(InputError, match=re.escape(complaint)):
        read_group(file)


def test_every_entry_says_what_to_do() -> None:
    for code, cause in load_catalogue().items():
        assert cause.meaning.endswith("."), code
        assert cause.detected, code
        assert cause.fix, code
        assert all(finding(code, "x", names={"adapter": "a", "base": "b"}).fix), code


def test_the_page_is_fresh() -> None:
    page = ROOT / "docs" / "reference" / "findings.md"
    assert page.read_text(encoding="utf-8") == findings_page(), "run: python scripts/findings_page.py"
