"""Verdict and cause of a repeat: each cause planted alone, and with others next to it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from envpin.manifest.training import CodeInfo, DataFile, DatasetInfo
from envpin.manifest.types import Distribution, Manifest, RunInfo, SavedInfo, TokenizerInfo
from envpin.replay.training.facts import differing_facts
from envpin.replay.training.judge import RunRecord, judge
from tests.support.training_runs import ARGUMENTS, KERNELS, dataset, manifest, run, trace

EVERY = range(1, 13)
LOSS = dict.fromkeys(EVERY, 1.001)
OTHER = "7" * 64


def argument(**changes: Any) -> Manifest:
    return manifest(arguments={**ARGUMENTS, **changes})


def kernel(**changes: Any) -> Manifest:
    return manifest(kernels={**KERNELS, **changes})


def part(name: str, **changes: Any) -> Manifest:
    made = manifest()
    return replace(made, **{name: replace(getattr(made, name), **changes)})


PLANTED: list[tuple[str, Manifest, dict[str, Any], int, str]] = [
    ("seed", argument(seed=8), {"initial": OTHER}, 0, "seed"),
    ("data seed", argument(data_seed=3), {"rows": {n: (f"{13 - n}.0", f"{13 - n}.1") for n in EVERY}}, 1, "data order"),
    ("one row", manifest(datasets=(dataset(OTHER),)), {"rows": {5: ("5.0", "x")}}, 5, "data"),
    ("a row that no file tells of", manifest(datasets=()), {"rows": {5: ("5.0", "x")}}, 5, "data"),
    ("template", part("tokenizer", chat_template_sha256=OTHER), {"rows": {n: (f"t{n}", f"u{n}") for n in EVERY}}, 1,
     "chat template"),
    ("rate", argument(learning_rate=0.101), {"lr": 1.01, "loss": {n: 1.001 for n in EVERY if n > 1}}, 1,
     "learning rate"),
    ("dropout", part("saved", config={"r": 4, "lora_dropout": 0.2}), {"loss": LOSS}, 1, "dropout"),
    ("precision", kernel(autocast="bf16"), {"loss": LOSS}, 1, "precision"),
    ("attention", kernel(attention="eager"), {"loss": LOSS}, 1, "attention"),
    ("base", part("base", files={"model.safetensors": OTHER}), {"loss": LOSS}, 1, "base weights"),
    ("package", replace(manifest(), distributions=(Distribution(name="peft", version="0.18.1"),
                                                   Distribution(name="torch", version="2.4.0"))), {"loss": LOSS}, 1,
     "package"),
    ("hardware", kernel(processor="another"), {"loss": LOSS}, 1, "hardware"),
    ("optimizer", argument(weight_decay=0.1), {"loss": {n: 1.001 for n in EVERY if n > 1}}, 2, "optimizer"),
    ("loss function", argument(label_smoothing_factor=0.1), {"loss": LOSS}, 1, "hyperparameter"),
    ("collator", manifest(collator="train.collate_in_front"), {"padding": "-"}, 1, "code"),
    ("evaluation", argument(eval_strategy="steps"), {"loss": {n: 1.1 for n in EVERY if n > 6}}, 7, "hyperparameter"),
    ("script", part("code", sha256=OTHER), {"loss": {n: 1.1 for n in EVERY if n > 6}}, 7, "code"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "after", "changes", "step", "cause"), PLANTED, ids=[one[0] for one in PLANTED])
def test_a_planted_cause_is_named_with_its_first_step(
    name: str, after: Manifest, changes: dict[str, Any], step: int, cause: str
) -> None:
    found = judge(run(), run(after, trace(**changes, final=OTHER), adapter=OTHER))
    assert (found.verdict, found.cause) == ("diverged", cause), name
    assert found.first is not None
    assert found.first.step == step
    assert found.certain == any(not fact.weak for fact in found.because)


def test_an_evaluation_is_named_only_where_nothing_stronger_is() -> None:
    after = argument(eval_strategy="steps", label_smoothing_factor=0.1)
    found = judge(run(), run(after, trace(loss=LOSS, final=OTHER), adapter=OTHER))
    assert [fact.what for fact in found.because] == ["label_smoothing_factor"]
    assert found.certain


def test_rows_that_are_only_padded_in_another_way_leave_the_cause_open() -> None:
    found = judge(run(), run(manifest(), trace(padding="-", final=OTHER), adapter=OTHER))
    assert (found.verdict, found.cause) == ("diverged", None)
    assert found.first is not None
    assert found.first.rows == "padding"
    assert "padded in another way" in (found.note or "")


def test_an_adapter_with_the_same_bytes_is_identical_whatever_else_differs() -> None:
    after = kernel(threads=1)
    found = judge(run(), run(after))
    assert (found.verdict, found.adapter, found.cause) == ("identical", "identical", None)
    assert [fact.what for fact in found.also] == ["threads"]


def test_a_prefix_says_nothing_about_the_adapter() -> None:
    found = judge(run(), run(other=trace(4, final=OTHER), adapter=OTHER), steps=4)
    assert (found.verdict, found.adapter, found.steps) == ("identical", "not compared", 4)


def test_another_world_size_is_not_comparable_and_named_before_all_else() -> None:
    after = replace(argument(seed=8), training=replace(argument(seed=8).training, world_size=2))  # type: ignore[type-var]
    found = judge(run(), run(after, trace(initial=OTHER), adapter=OTHER))
    assert (found.verdict, found.cause) == ("not comparable", "world size")


def test_a_loop_of_its_own_with_more_processes_is_not_comparable() -> None:
    before, after = (replace(manifest(), training=None, run=RunInfo(world_size=size)) for size in (2, 1))
    found = judge(RunRecord(manifest=before), run(after, trace(0), adapter=OTHER))
    assert (found.verdict, found.cause) == ("not comparable", "world size")


def test_nothing_recorded_on_both_sides_is_not_comparable() -> None:
    empty = run(Manifest(schema=1), trace(0))
    assert judge(empty, empty).verdict == "not comparable"


def test_noise_that_was_measured_makes_equivalent_and_a_larger_gap_does_not() -> None:
    recorded = run()
    repeated = run(other=trace(loss=dict.fromkeys(EVERY, 1.0 + 1e-07)), adapter=OTHER)
    again = run(other=trace(loss=dict.fromkeys(EVERY, 1.0 - 1e-07)), adapter="8" * 64)
    far = run(other=trace(loss=dict.fromkeys(EVERY, 1.0 + 0.0001)), adapter=OTHER)
    near = judge(recorded, repeated, again=again)
    assert near.verdict == "equivalent"
    assert near.noise is not None
    assert near.noise.later == pytest.approx(2e-7, rel=1e-3)
    assert judge(recorded, far, again=run(other=trace(loss=dict.fromkeys(EVERY, 1.0 + 0.00011)))).verdict == "diverged"
    assert judge(recorded, repeated).verdict == "diverged"
    assert judge(recorded, repeated).noise is None


def test_a_repeat_equal_to_its_own_repeat_has_no_noise_to_hide_in() -> None:
    off = run(other=trace(loss=dict.fromkeys(EVERY, 1.0 + 1e-09)), adapter=OTHER)
    found = judge(run(), off, again=off)
    assert (found.verdict, found.cause) == ("diverged", None)
    assert found.note is not None


def test_early_steps_are_held_to_the_noise_of_early_steps() -> None:
    off = run(other=trace(loss={1: 1.01}), adapter=OTHER)
    again = run(other=trace(loss={1: 1.01, 12: 1.05}), adapter="8" * 64)
    assert judge(run(), off, again=again).verdict == "diverged"


def test_a_changed_batch_or_rate_is_never_within_noise() -> None:
    noisy: dict[str, Any] = {"loss": dict.fromkeys(EVERY, 1.5)}
    planted: tuple[dict[str, Any], ...] = ({"rows": {5: ("5.0", "x")}}, {"lr": 1.01}, {"initial": OTHER})
    for changes in planted:
        after = run(other=trace(**changes), adapter=OTHER)
        assert judge(run(), after, again=run(other=trace(**changes, **noisy))).verdict == "diverged"


def test_a_run_that_differs_from_its_repeat_beyond_noise_is_said_to_be_no_deterministic_one() -> None:
    off = run(other=trace(loss=dict.fromkeys(EVERY, 1.2)), adapter=OTHER)
    again = run(other=trace(loss=dict.fromkeys(EVERY, 1.201)), adapter="8" * 64)
    found = judge(run(), off, again=again)
    assert (found.verdict, found.cause, found.certain) == ("diverged", "kernel", False)


def test_only_what_both_sides_recorded_is_ruled_out() -> None:
    known = judge(run(), run(kernel(attention="eager"), trace(loss=LOSS), adapter=OTHER))
    assert {"initial adapter", "base weights", "packages", "hardware", "code"} <= set(known.ruled_out)
    assert "attention" not in known.ruled_out
    bare = replace(manifest(kernels={}), distributions=(), code=None, base=None)
    unknown = judge(run(bare), run(bare, trace(loss=LOSS), adapter=OTHER))
    assert not {"packages", "hardware", "code", "base weights"} & set(unknown.ruled_out)


def test_several_causes_leave_doubt() -> None:
    both = replace(kernel(attention="eager"), base=replace(part("base").base, files={"model.safetensors": OTHER}))  # type: ignore[type-var]
    found = judge(run(), run(both, trace(loss=LOSS), adapter=OTHER))
    assert (found.cause, found.certain) == ("base weights", False)
    assert "attention" in {fact.what for fact in found.also}


def saved(kind: str, undigested: tuple[str, ...] = (), **files: str) -> Manifest:
    made = manifest()
    named = {f"{name}.safetensors": digest for name, digest in files.items()}
    left = {f"{name}.safetensors": "over the limit" for name in undigested}
    return replace(made, training=None, saved=SavedInfo(kind=kind, files=named, undigested=left))


def test_a_run_without_a_trace_rules_out_no_batches() -> None:
    after = replace(saved("adapter", adapter_model=OTHER), code=CodeInfo(script="/w/train.py", sha256=OTHER))
    before = saved("adapter", adapter_model="e" * 64)
    found = judge(RunRecord(manifest=before), RunRecord(manifest=after))
    assert (found.verdict, found.cause, found.steps) == ("diverged", "code", 0)
    assert found.ruled_out == ("base weights", "packages")


@pytest.mark.parametrize(
    ("before", "after", "verdict", "weights"),
    [
        (saved("model", model="a"), saved("model", model="a"), "identical", "identical"),
        (saved("model", model="a"), saved("model", model="b"), "diverged", "differs"),
        (saved("model", ("model-2",), model="a"), saved("model", ("model-2",), model="a"), "not comparable",
         "not compared"),
        (saved("model", ("model-2",), model="a"), saved("model", ("model-2",), model="b"), "diverged", "differs"),
        (saved("adapter"), saved("adapter"), "not comparable", "not compared"),
    ],
)  # fmt: skip
def test_weights_are_those_of_a_model_too_and_identical_only_where_all_have_digests(
    before: Manifest, after: Manifest, verdict: str, weights: str
) -> None:
    found = judge(RunRecord(manifest=before), RunRecord(manifest=after))
    assert (found.verdict, found.adapter) == (verdict, weights)


def test_equal_steps_are_not_a_whole_run_that_is_equal() -> None:
    made = replace(manifest(), saved=SavedInfo(kind="adapter"))
    unknown = replace(trace(), final=None)
    assert judge(run(made, unknown), run(made, unknown)).verdict == "not comparable"
    assert judge(run(made, unknown), run(made, unknown), steps=3).verdict == "identical"
    assert judge(run(made), run(made)).verdict == "identical"  # every trained tensor, at the end


def test_a_run_that_made_fewer_steps_parts_where_it_ended() -> None:
    found = judge(
        run(argument(max_steps=12)), run(argument(max_steps=8), replace(trace(8), run="other"), adapter=OTHER)
    )
    assert found.first is not None
    assert (found.cause, found.first.sign, found.first.step) == ("learning rate", "number of steps", 9)
    assert "batches" not in " ".join(found.ruled_out)


def test_code_and_packages_are_ruled_out_only_where_their_files_are_known() -> None:
    local = replace(manifest(), distributions=(Distribution(name="peft", version="1", direct_url="file:///src/peft"),),
                    code=CodeInfo(script="/w/train.py", sha256="5" * 64, left_out=2))  # fmt: skip
    found = judge(run(local), run(local, trace(loss=LOSS, final=OTHER), adapter=OTHER))
    assert not {"code", "packages"} & set(found.ruled_out)


@pytest.mark.parametrize(
    ("after", "changes", "cause", "what"),
    [
        (part("run", environment={"OMP_NUM_THREADS": "2"}), {"rows": {5: ("5.0", "x")}}, "data", None),
        (part("run", environment={"OMP_NUM_THREADS": "2"}), {"loss": LOSS}, None, None),  # torch used as many threads
        (part("run", environment={"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1"}),
         {"rows": {n: (f"{13 - n}.0", f"{13 - n}.1") for n in EVERY}}, "data order", "PYTHONHASHSEED"),
        (part("tokenizer", files={"tokenizer.json": OTHER}), {"rows": {5: ("5.0", "x")}}, "tokenizer",
         "tokenizer.json"),
        (part("code", named={"rows.jsonl": OTHER}), {"rows": {5: ("5.0", "x")}}, "data", "rows.jsonl"),
        (part("code", named={"conf.yaml": OTHER}), {"loss": LOSS}, "code", "conf.yaml"),
    ],
)  # fmt: skip
def test_variables_and_files_are_named_for_what_they_can_change(
    after: Manifest, changes: dict[str, Any], cause: str | None, what: str | None
) -> None:
    code = CodeInfo(script="/w/train.py", sha256="5" * 64, named={"rows.jsonl": "1" * 64, "conf.yaml": "2" * 64})
    before = replace(part("tokenizer", files={"tokenizer.json": "3" * 64}), code=code)
    found = judge(run(before), run(after, trace(**changes, final=OTHER), adapter=OTHER))
    assert found.cause == cause
    assert [fact.what for fact in found.because] == ([what] if what else [])


@pytest.mark.parametrize(("rules", "cause"), [("r", "data"), ("other", "tokenizer")])
def test_a_tokenizer_that_was_only_asked_to_truncate_is_not_the_cause(rules: str, cause: str) -> None:
    # Rows from a cache of `datasets` never ask the tokenizer, which is saved without its `truncation` then.
    before, after = (
        replace(
            manifest(), tokenizer=TokenizerInfo(source="saved", files={"tokenizer.json": file}, rules_sha256=digest)
        )
        for file, digest in (("x", "r"), ("y", rules))
    )
    after = replace(after, training=replace(after.training, dataset=DatasetInfo(rows=9)))  # type: ignore[type-var]
    before = replace(before, training=replace(before.training, dataset=DatasetInfo(rows=8)))  # type: ignore[type-var]
    found = judge(run(before), run(after, trace(rows=dict.fromkeys(EVERY, ("x", "y"))), adapter=OTHER))
    assert (found.cause, found.certain) == (cause, cause == "data")


@pytest.mark.parametrize(
    ("name", "then", "now", "found"),
    [
        ("a helper whose name ends the script's", {"lora.py": "1"}, {"lora.py": "2"}, [("lora.py", False)]),
        ("the script itself", {"train_lora.py": "1"}, {"train_lora.py": "2"}, []),
        ("moved, the same", {"/lib/a/step.py": "1"}, {"/scratch/a/step.py": "1"}, []),
        ("moved, another", {"/lib/a/step.py": "1"}, {"/scratch/a/step.py": "2"}, [("/lib/a/step.py", False)]),
        ("no longer imported", {"step.py": "1"}, {}, [("step.py", True)]),
        ("newly imported", {}, {"step.py": "1"}, [("step.py", True)]),
    ],
)
def test_code_differs_where_a_file_of_the_run_does(
    name: str, then: dict[str, str], now: dict[str, str], found: list[tuple[str, bool]]
) -> None:
    before, after = (
        replace(manifest(), code=CodeInfo(script="/p/train_lora.py", sha256="s", folder="/p", files=files))
        for files in (then, now)
    )
    code = [fact for fact in differing_facts(before, after) if fact.cause == "code"]
    assert [(fact.what, fact.weak) for fact in code] == found, name


@pytest.mark.parametrize(
    ("name", "then", "now", "found"),
    [
        ("of two with one name, the first", {"/a/x.parquet": "1", "/b/x.parquet": "2"},
         {"/a/x.parquet": "9", "/b/x.parquet": "2"}, [("x.parquet", "1", "9")]),
        ("the same elsewhere", {"/a/x.parquet": "1", "/b/x.parquet": "2"},
         {"/s/b/x.parquet": "2", "/s/a/x.parquet": "1"}, []),
        ("another name, the same rows", {"/a/x.jsonl": "1"}, {"/a/y.jsonl": "1"}, []),
        ("another name, other rows", {"/a/x.jsonl": "1"}, {"/a/y.jsonl": "2"},
         [("x.jsonl", "1", "absent"), ("y.jsonl", "absent", "2")]),
        ("one side has no digest", {"/a/x.jsonl": "1"}, {"/a/x.jsonl": None}, []),
    ],
)  # fmt: skip
def test_data_differs_where_a_file_does(
    name: str, then: dict[str, str | None], now: dict[str, str | None], found: list[tuple[str, str, str]]
) -> None:
    before, after = (
        manifest(datasets=(DatasetInfo(name="json", files={one: DataFile(sha256=sha) for one, sha in files.items()}),))
        for files in (then, now)
    )
    data = [fact for fact in differing_facts(before, after) if fact.cause == "data"]
    assert [(fact.what, fact.before, fact.after) for fact in data] == found, name
    assert not any(fact.weak for fact in data)
