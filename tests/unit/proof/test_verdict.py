"""What verdicts on single tensors come to."""

from __future__ import annotations

from typing import Any

import msgspec

from envpin.host.verbs import ProveReply, VerdictCounts
from envpin.proof.verdict import is_proved, troubles


def answer(listed: list[dict[str, Any]], *, untouched: int = 7, changed: int = 4) -> ProveReply:
    wrong = [one for one in listed if one["state"] == "wrong"]
    touched = sum(bool(one.get("changed")) for one in wrong)
    total = untouched + changed
    return msgspec.convert(
        {
            "counts": {"equal": total - len(listed), "wrong": len(wrong), "not_compared": len(listed) - len(wrong)},
            "changed": {"equal": changed - touched, "wrong": touched},
            "lost": [], "ways": {}, "listed": listed, "tensors": {}, "notes": [],
            "base_dtypes": {}, "merged_dtypes": {}, "torch": "2",
        },
        ProveReply,
    )  # fmt: skip


def one(number: int, cause: str, *, changed: bool = True, **more: Any) -> dict[str, Any]:
    name = f"model.layers.{number}.q_proj.weight" if changed else f"model.layers.{number}.norm.weight"
    return {"tensor": name, "state": "wrong", "changed": changed, "cause": cause, **more}


def test_counts_prove_only_what_was_compared() -> None:
    assert is_proved(VerdictCounts(equal=2, rounding=1))
    assert not is_proved(VerdictCounts(equal=2, not_compared=1))
    assert not is_proved(VerdictCounts(equal=2, wrong=1))
    assert not is_proved(VerdictCounts())


def test_a_layer_left_out_names_the_layer() -> None:
    (found,) = troubles(answer([one(2, "not-applied")]))
    assert (found.code, found.layers) == ("not-applied", (2,))
    assert "to 1 of 4 tensors" in found.message


def test_an_adapter_that_was_not_applied_at_all_is_said_once() -> None:
    (found,) = troubles(answer([one(number, "not-applied") for number in range(4)]))
    assert found.message.startswith("the adapter was not applied")
    assert "of 4" not in found.message
    assert "the base given holds it already" in found.message


def test_a_base_with_other_weights_as_well_is_not_called_merged() -> None:
    listed = [*(one(number, "not-applied") for number in range(4)), one(0, "differs-from-base", changed=False)]
    assert not any("already" in trouble.message for trouble in troubles(answer(listed)))


def test_another_scale_gives_the_measured_range() -> None:
    (found,) = troubles(answer([one(0, "wrong-scale", factor=0.5), one(1, "wrong-scale", factor=0.51)]))
    assert found.factor == (0.5, 0.51)


def test_untouched_tensors_that_mostly_differ_mean_another_base() -> None:
    strange = [one(number, "differs-from-base", changed=False) for number in range(6)]
    (found,) = troubles(answer([*strange, one(0, "other-base"), one(1, "other-change")]))
    assert found.code == "other-base"
    assert len(found.tensors) == 8


def test_one_untouched_tensor_that_differs_does_not_mean_another_base() -> None:
    (found,) = troubles(answer([one(3, "differs-from-base", changed=False)]))
    assert (found.code, found.layers) == ("untouched-changed", (3,))
