"""The page of a merge: each tensor in the state that the record proves, and never in a better one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.replay.reverify import FileDifference, Reverified
from envpin.report.merge_page import render_merge
from envpin.report.proof_picture import STATES, State, picture, states_of
from tests.support.checkpoints import llama_shapes
from tests.support.merge_records import DRIFT, TOUCHED, VERIFICATION, merge_record

if TYPE_CHECKING:
    from envpin.replay.verdict import Kind

HOSTILE = '<script>alert("x")</script>'


def test_states_are_those_that_the_record_proves() -> None:
    found = states_of(merge_record())
    assert {found[name] for name in TOUCHED} == {"recomputed"}
    assert found["model.embed_tokens.weight"] == "whole"
    assert found["lm_head.weight"] == "equal"
    assert [*found] == [*llama_shapes()]


def test_states_of_what_was_judged_by_outputs_or_changed_since() -> None:
    record = merge_record(verification={**VERIFICATION, "not_recomputed": [TOUCHED[0]]})
    found = states_of(record, changed=[TOUCHED[1], "of no model"])
    assert (found[TOUCHED[0]], found[TOUCHED[1]]) == ("outputs", "changed")
    assert "of no model" not in found


def test_states_are_unknown_where_the_engine_lists_no_operations() -> None:
    record = merge_record()
    record.merge.pop("operations")
    record.merge.pop("tensors")
    found = states_of(record, names=["a", "model.embed_tokens.weight"])
    assert found == {"a": "unknown", "model.embed_tokens.weight": "whole"}
    assert states_of(record) == {}


def test_picture_has_a_row_for_each_layer_and_folds_experts() -> None:
    states: dict[str, State] = {
        f"m.layers.{at}.mlp.experts.{one}.up.weight": "equal" for at in (0, 10) for one in (0, 1)
    }
    states["m.layers.10.mlp.experts.1.up.weight"] = "outputs"
    states["m.layers.10.norm.weight"] = "recomputed"
    states["norm.weight"] = "equal"
    drawn = picture(states)
    (grid,) = drawn.grids
    assert (grid.stack, grid.columns) == ("m.layers", ("mlp.experts.*.up", "norm"))
    (first, (experts, none)), (second, (worse, norm)) = grid.rows
    assert (first, second) == (0, 10)
    assert experts is not None
    assert (experts.state, experts.number) == ("equal", 2)
    assert worse is not None
    assert worse.state == "outputs", "a cell shows the state that says least"
    assert norm is not None
    assert none is None
    assert drawn.single == (("norm.weight", "equal"),)
    assert drawn.counts == {"equal": 4, "recomputed": 1, "outputs": 1}


def test_every_state_has_a_sign_of_its_own() -> None:
    assert len({glyph for glyph, _ in STATES.values()}) == len(STATES)


@pytest.mark.parametrize("kind", ["identical", "identical-environment", "explained-drift", "unrecorded", "mismatch"])
def test_page_of_each_verdict_says_it_and_asks_for_nothing(kind: Kind) -> None:
    text = render_merge(merge_record(kind=kind, differences=[DRIFT]), place="merged")
    assert f"Verdict: {kind}" in text
    assert "2.4.0+cu121" in text
    assert not [word for word in ("<script", "http://", "https://", "url(", "@import") if word in text]


def test_page_says_not_compared_where_nothing_was_read() -> None:
    assert "not compared: whether the files still are" in render_merge(merge_record(), place="m")
    intact = Reverified(record=merge_record(), files=3, size=1, differences=())
    assert "intact: 3 files are" in render_merge(merge_record(), place="m", verified=intact)
    gone = FileDifference(file="model.safetensors", what="changed", detail="2 of its 3 tensors", tensors=(TOUCHED[0],))
    other = Reverified(record=merge_record(), files=3, size=1, differences=(gone,))
    changed = render_merge(merge_record(), place="m", verified=other)
    assert "changed: what is here is not what the merge proved" in changed
    assert "intact" not in changed
    assert "its bytes have changed since the merge" in changed


def test_page_of_a_record_without_figures_says_not_recorded() -> None:
    text = render_merge(merge_record(verification={"probe": None, "probe_note": "no tokenizer"}), place="m")
    assert "not recorded" in text
    assert "not compared: no tokenizer" in text


@pytest.mark.parametrize(
    "bad", [{"recomputed": [], "equal": 3, "probe": {"ratio": "x"}}, {"recomputed": {"worst": "x"}}]
)
def test_page_of_a_record_with_figures_of_another_type(bad: dict[str, object]) -> None:
    assert "<h1>" in render_merge(merge_record(verification=bad), place="m")


def test_nothing_in_a_record_is_markup() -> None:
    record = merge_record(notes=[HOSTILE], base_id=HOSTILE, names=[f"model.layers.0.{HOSTILE}", HOSTILE])
    text = render_merge(record, place=HOSTILE)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 5
