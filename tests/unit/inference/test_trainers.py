"""Which trainer wrote a folder, from the traces that each trainer leaves (see docs/reference/trainers.md)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envpin.inference.trainers import TITLES, Traces, card_tags, checkpoint_step, recognise

PEFT = {"adapter_config.json": {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj"], "inference_mode": True,
                                "peft_type": "LORA", "auto_mapping": None}}  # fmt: skip
AUTOTRAIN = {"training_params.json": {"project_name": "out", "model": "base", "trainer": "sft"}}

CASES: list[tuple[str, str | None, Traces]] = [
    ("peft", None, Traces(documents=PEFT)),
    ("transformers", None, Traces(documents=PEFT, names=frozenset({"training_args.bin"}),
                                  classes=("transformers.training_args.TrainingArguments",))),
    ("trl", "0.13.0", Traces(documents=PEFT, card="---\ntags:\n- trl\n- sft\n---\n\n- TRL: 0.13.0\n",
                             names=frozenset({"training_args.bin"}))),
    ("trl", None, Traces(classes=("trl.trainer.sft_config.SFTConfig", "transformers.trainer_utils.HubStrategy"))),
    ("autotrain", None, Traces(documents={**PEFT, **AUTOTRAIN}, names=frozenset({"training_args.bin"}),
                               classes=("trl.trainer.sft_config.SFTConfig",))),
    ("autotrain", None, Traces(card="---\ntags:\n- autotrain\n---\n\n# Model Trained Using AutoTrain\n")),
    ("axolotl", "0.4.1", Traces(card="---\nlibrary_name: peft\ntags:\n- axolotl\n- generated_from_trainer\n---\n"
                                     "<details><summary>See axolotl config</summary>\n\naxolotl version: `0.4.1`\n")),
    ("axolotl", None, Traces(classes=("axolotl.core.training_args.AxolotlTrainingArguments",))),
    ("llamafactory", None, Traces(card="---\ntags: [llama-factory, lora]\n---\n")),
    ("llamafactory", None, Traces(names=frozenset({"trainer_log.jsonl", "training_args.bin"}))),
    ("ms-swift", "3.2.1", Traces(documents={"args.json": {"swift_version": "3.2.1"}}, names=frozenset({"args.json"}))),
    ("unsloth", None, Traces(documents={"adapter_config.json": {**PEFT["adapter_config.json"], "auto_mapping":
                                        {"unsloth_fixed": True}}}, card="---\ntags:\n- trl\n---\n")),
    ("torchtune", None, Traces(documents={"adapter_config.json": {"r": 8, "lora_alpha": 16, "target_modules": [],
                               "base_model_name_or_path": "x"}}, names=frozenset({"adapter_model.pt"}))),
    ("mlx-lm", None, Traces(documents={"adapter_config.json": {"fine_tune_type": "lora"}})),
]  # fmt: skip


@pytest.mark.parametrize(("trainer", "version", "traces"), CASES)
def test_each_trainer_by_its_traces(trainer: str, version: str | None, traces: Traces) -> None:
    found = recognise(traces)
    assert found is not None
    assert (found.trainer, found.version) == (trainer, version)
    assert found.title == TITLES[trainer]


def test_nothing_recognised() -> None:
    assert recognise(Traces(names=frozenset({"model.safetensors", "config.json"}))) is None


def test_a_checkpoint_is_recognised_by_its_run() -> None:
    checkpoint = Traces(folder="checkpoint-10", documents=PEFT, names=frozenset({"trainer_state.json"}))
    run = Traces(folder="out", documents=AUTOTRAIN)
    found = recognise(checkpoint, run=run)
    assert found is not None
    assert found.trainer == "autotrain"
    assert found.through == ("transformers",)


def test_a_weak_trace_yields_to_a_firm_one() -> None:
    """A base published by Unsloth does not make TRL's adapter one of Unsloth's."""
    config = {**PEFT["adapter_config.json"], "base_model_name_or_path": "unsloth/Llama-3.2-1B"}
    found = recognise(Traces(documents={"adapter_config.json": config}, card="---\ntags:\n- trl\n---\n"))
    assert found is not None
    assert found.trainer == "trl"


@pytest.mark.parametrize(
    ("name", "step"),
    [("checkpoint-500", 500), ("epoch_0", 0), ("checkpoint-", None), ("my-checkpoint-5", None), ("iter_100", 100),
     ("checkpoint-" + "9" * 5000, None), ("final", None)],
)  # fmt: skip
def test_checkpoint_names(name: str, step: int | None) -> None:
    assert checkpoint_step(name) == step


@given(st.text(max_size=400))
def test_any_card_is_read(card: str) -> None:
    card_tags("---\n" + card)
    recognise(Traces(card=card))
