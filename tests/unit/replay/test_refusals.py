"""How far a merged model may answer from its adapter before the merge is refused, and what it names as the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.core.errors import CheckFailedError, WrongEnvironmentError
from envpin.core.findings import Finding
from envpin.host.verbs import ProbeNumbers
from envpin.host.worker import WorkerError
from envpin.replay.refusals import cause_of, explained, gate, refuse_probe
from envpin.replay.tied import tied_module
from tests.support.checkpoints import write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path

# Measured on tiny models (docs/explanation/the-gate.md): ratio, and what rounding alone explains.
RIGHT = [(0.00375, 0.00296), (0.00494, 0.00296), (0.000647, 0.000369), (5.1e-07, 1.8e-07), (0.0313, 0.0346)]
WRONG = {
    "one layer of 14 left out": (0.133, 0.0029),
    "change times 0.5": (0.583, 0.00513),
    "base from 4 bit": (0.152, 0.00294),
    "PiSSA without what loading takes off": (0.468, 0.0131),
    "OLoRA without what loading takes off": (0.38, 0.0131),
    "change times 1.001 in fp32": (0.0012, 1.8e-07),
}


def probe(ratio: float | None, expected: float | None, moved: float | None = 0.1) -> ProbeNumbers:
    noise = None if ratio is None or moved is None else ratio * moved
    return ProbeNumbers(moved=moved, noise=noise, ratio=ratio, expected=expected)


@pytest.mark.parametrize(("ratio", "expected"), RIGHT)
def test_gate_lets_right_merges_pass(ratio: float, expected: float) -> None:
    refuse_probe(probe(ratio, expected), force=False)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_gate_refuses_wrong_merges_and_says_what_rounding_explains(name: str) -> None:
    with pytest.raises(WrongEnvironmentError, match="rounding alone explains"):
        refuse_probe(probe(*WRONG[name]), force=False)


@pytest.mark.parametrize(
    ("ratio", "expected", "hint"),
    [
        (1.0, 1.5e-07, "unmerged"),  # OFT on convolutions, peft 0.21.2: its own merge is as far off
        (0.96, 17.9, "lost in rounding"),
        (0.9, None, "lost in rounding"),
    ],
)
def test_rounding_is_named_only_where_it_may_explain(ratio: float, expected: float | None, hint: str) -> None:
    with pytest.raises(WrongEnvironmentError) as refused:
        refuse_probe(probe(ratio, expected), force=False)
    assert hint in str(refused.value.hint)


@pytest.mark.parametrize(
    ("ratio", "expected", "hint"), [(1.6, None, "`shared`"), (0.1, 0.008, "`shared`"), (0.96, 17.9, "lost in rounding")]
)
def test_a_table_that_the_base_shares_is_named_as_the_cause(ratio: float, expected: float | None, hint: str) -> None:
    """LoRA on `shared`, and on `lm_head`, of T5: what loading ties, the merge changes with it."""
    with pytest.raises(WrongEnvironmentError) as refused:
        refuse_probe(probe(ratio, expected), force=False, tied="shared")
    assert hint in str(refused.value.hint)


@pytest.mark.parametrize(
    ("modules", "has_head", "tied"),
    [(["shared"], False, "shared"), (["shared"], True, None), (["lm_head"], False, "lm_head"), (["q"], False, None)],
)
def test_a_tied_module_is_one_of_a_base_with_a_single_table(
    modules: list[str], has_head: bool, tied: str | None, tmp_path: Path
) -> None:
    heads = {"lm_head.weight": (8, 4)} if has_head else {}
    base = write_model(tmp_path / "base", {"shared.weight": (8, 4), **heads}, {"model_type": "t5"})
    shapes = {f"base_model.model.{one}.lora_{side}.weight": (4, 4) for one in modules for side in "AB"}
    adapter = write_adapter(tmp_path / "adapter", shapes, target_modules=modules)
    assert tied_module(open_checkpoint(base), [open_checkpoint(adapter)]) == tied


def test_gate_is_five_times_what_rounding_explains() -> None:
    assert gate(0.01) == pytest.approx(0.05)


def test_gate_never_passes_what_is_nearer_to_doing_nothing() -> None:
    assert gate(10.0) == gate(None) == 0.5


def test_gate_does_not_judge_the_order_of_float32_sums() -> None:
    assert gate(0.0) == pytest.approx(1e-3)


def test_a_merge_whose_outputs_are_not_finite_is_refused() -> None:
    with pytest.raises(WrongEnvironmentError):
        refuse_probe(probe(None, 0.003), force=False)


def test_a_base_whose_outputs_are_not_finite_is_told_from_an_adapter_that_moves_nothing() -> None:
    with pytest.raises(WrongEnvironmentError, match="not finite"):
        refuse_probe(probe(None, None, moved=None), force=False)
    refuse_probe(probe(None, None, moved=None), force=True)


def test_values_that_are_not_finite_are_not_blamed_on_the_disk() -> None:
    said = explained(WorkerError("not-finite", "`w` holds values that are not finite", {}, ""))
    assert isinstance(said, CheckFailedError)
    assert "float16" in str(said.hint)


def test_an_adapter_that_moves_nothing_is_refused_unless_forced() -> None:
    with pytest.raises(WrongEnvironmentError, match="changes nothing"):
        refuse_probe(probe(None, None, moved=0.0), force=False)
    refuse_probe(probe(None, None, moved=0.0), force=True)


def test_what_the_preflight_warned_of_is_the_hint_where_a_worker_then_failed() -> None:
    failed = WorkerError("adapter-not-applied", "peft dropped 4 of its 12 tensors", {}, "")
    warning = Finding(
        code="tensors-not-of-method", severity="warning", message="`target_modules` is absent", fix=("put it back",)
    )
    drift = Finding(code="vocab-grown", severity="warning", message="training grew the vocabulary")
    assert (
        str(explained(failed, [drift, warning]).hint)
        == "tensors-not-of-method: `target_modules` is absent; put it back"
    )
    assert "--environment REF" in str(explained(failed, [drift]).hint)


@pytest.mark.parametrize("kind", ["load-failed", "adapter-load-failed", "adapter-not-applied", "weights-missing"])
def test_no_hint_of_a_merge_leads_back_to_the_check_that_it_made(kind: str) -> None:
    assert "envpin check" not in str(explained(WorkerError(kind, "no", {}, "")).hint)


def test_outputs_that_cannot_be_compared_are_told_with_what_is_known_of_them() -> None:
    zero = Finding(code="adapter-is-noop", severity="warning", message="`lora_alpha` is 0")
    assert cause_of(probe(None, None, moved=0.0), [zero], lambda: "NaN") == "adapter-is-noop: `lora_alpha` is 0"
    assert cause_of(probe(None, None, moved=None), [zero], lambda: "NaN") == "NaN"
    assert cause_of(probe(0.9, 0.001), [zero], lambda: "NaN") is None
    with pytest.raises(WrongEnvironmentError) as refused:
        refuse_probe(probe(None, None, moved=0.0), force=False, cause="`lora_alpha` is 0")
    assert str(refused.value.hint).startswith("`lora_alpha` is 0")
