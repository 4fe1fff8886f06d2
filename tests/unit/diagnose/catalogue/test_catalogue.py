"""The catalogue is complete, and its page is fresh."""

from __future__ import annotations

from envpin.diagnose.catalogue.catalogue import CATALOGUE, GROUPS, finding, findings_page
from tests.support.places import ROOT

# The names are a contract: tools script against them.
PROMISED = set(
    """
vocab-grown vocab-shrunk-padded vocab-mismatch vocab-rows-not-saved padding-mismatch wrong-base-hidden-size
wrong-base-layers wrong-base-architecture base-not-found base-changed-since-training rank-mismatch
empty-tensors-zero3 unpaired-lora unmatched-adapter-keys extra-adapter-tensors compile-prefix fsdp-prefix
vlm-key-rename moe-layout tied-head
adapter-is-noop quantized-base-packed quantized-base-unmergeable quantization-differs lfs-pointer
html-instead-of-weights truncated-file corrupt-header missing-shard pickle-weights config-needs-newer-transformers
config-needs-older-transformers rope-config-unreadable rope-theta-lost adapter-needs-newer-peft
peft-transformers-incompatible tokenizer-needs-newer torch-too-old-for-bin remote-code-needed remote-code-missing
adapter-files-in-merged adapter-already-merged output-exists architecture-drift dtype-drift transformers-api-changed
generation-config-invalid torch-companion-mismatch numpy-abi meta-tensor-offload out-of-memory
""".split()  # noqa: SIM905  a list literal would be fifty lines
)


def test_every_promised_code_has_one_entry() -> None:
    assert sorted(cause.code for group in GROUPS for cause in group.causes) == sorted(PROMISED)
    assert len(CATALOGUE) == len(PROMISED)


def test_every_entry_says_what_to_do() -> None:
    for cause in CATALOGUE.values():
        assert cause.meaning.endswith("."), cause.code
        assert cause.detected, cause.code
        assert cause.fix, cause.code
        assert all(finding(cause.code, "x", names={"adapter": "a", "base": "b"}).fix), cause.code


def test_the_page_is_fresh() -> None:
    page = ROOT / "docs" / "reference" / "findings.md"
    assert page.read_text(encoding="utf-8") == findings_page(), "run: python scripts/findings_page.py"
