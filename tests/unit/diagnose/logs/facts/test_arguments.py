"""An unexpected keyword names the package by its class, and the release by what the wheels hold."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.facts.arguments import explain

TABLE = [
    ("LoraConfig", "enable_lora", "adapter-needs-older-peft", "0.3.0"),
    ("LoraConfig", "merge_weights", "adapter-needs-older-peft", "0.3.0"),
    ("LoraConfig", "corda_config", "adapter-needs-newer-peft", "0.15.0"),
    ("LoraConfig", "eva_config", "adapter-needs-newer-peft", "0.14.0"),
    ("AdaLoraConfig", "use_dora", "adapter-needs-newer-peft", "0.9.0"),
    ("TrainingArguments", "evaluation_strategy", "transformers-api-changed", "4.51.0"),
    ("TrainingArguments", "eval_strategy", "transformers-api-changed", "4.41.0"),
    ("Trainer", "tokenizer", "transformers-api-changed", "5.0.0"),
    ("Trainer", "processing_class", "transformers-api-changed", "4.46.0"),
    ("SFTTrainer", "dataset_text_field", "library-api-changed", "trl has no `dataset_text_field` from 0.13"),
    ("SFTTrainer", "tokenizer", "library-api-changed", "0.12"),
    ("SFTConfig", "max_seq_length", "library-api-changed", "0.20"),
    ("DPOTrainer", "beta", "library-api-changed", "0.13"),
    ("Accelerator", "dispatch_batches", "library-api-changed", "accelerate"),
    ("SFTTrainer", "no_such_thing", "settings-refused", "trl"),
    ("UnslothSFTTrainer", "dataset_num_proc", "library-api-changed", "0.13"),
    ("LoraConfig", "no_such_field", "adapter-needs-newer-peft", "no release of peft that was looked at has"),
]


@pytest.mark.parametrize(("owner", "argument", "code", "word"), TABLE)
def test_the_release_is_named(owner: str, argument: str, code: str, word: str) -> None:
    found = explain(f"TypeError: {owner}.__init__() got an unexpected keyword argument '{argument}'")
    assert found is not None
    assert found.code == code
    assert word in found.says


@pytest.mark.parametrize(
    "line",
    [
        "TypeError: Widget.__init__() got an unexpected keyword argument 'colour'",
        "TypeError: train() got an unexpected keyword argument 'tokenizer'",
        "got an unexpected keyword argument",
    ],
)
def test_what_no_wheel_shows_is_left_alone(line: str) -> None:
    assert explain(line) is None


@pytest.mark.parametrize(
    ("owner", "argument", "step"),
    [
        ("SFTTrainer", "dataset_text_field", "give `dataset_text_field` to `SFTConfig`"),
        ("SFTTrainer", "max_seq_length", "(`max_length` in newer releases)"),
        ("SFTConfig", "max_seq_length", "write `max_length` in its place"),
        ("SFTConfig", "max_length", "or write `max_seq_length`"),
        ("DPOTrainer", "beta", "give `beta` to `DPOConfig`"),
        ("DPOTrainer", "processing_class", "or write `tokenizer`"),
        ("Trainer", "tokenizer", "write `processing_class` in its place"),
        ("TrainingArguments", "evaluation_strategy", "write `eval_strategy` in its place"),
        ("SentenceTransformerTrainingArguments", "warmup_ratio", "write `warmup_steps`"),
        ("Accelerator", "even_batches", "`DataLoaderConfiguration`"),
        ("TrainingArguments", "use_mps_device", "leave out `use_mps_device`"),
    ],
)  # fmt: skip
def test_what_took_the_place_of_an_argument_is_named(owner: str, argument: str, step: str) -> None:
    told = explain(f"TypeError: {owner}.__init__() got an unexpected keyword argument '{argument}'")
    assert told is not None
    assert step in told.fix[1]
