"""What runs that end well print all the same: nothing in it stops a run."""

from __future__ import annotations

import io

import pytest

from envpin.diagnose.logs.reader import diagnose_log
from tests.support.logs import codes

SITE = "/home/user/.venv/lib/python3.11/site-packages"
CALM = (
    f"{SITE}/torch/cuda/__init__.py:129: UserWarning: CUDA initialization: Found no NVIDIA driver on your system.",
    (
        "ERROR 11-30 03:00:00 [fa_utils.py:57] Cannot use FA version 3 is not supported due to FA3 is only "
        "supported on "
        "devices with compute capability >= 8 excluding 8.6 and 8.9"
    ),
    (
        f"{SITE}/datasets/load.py:1461: FutureWarning: The repository for samsum contains custom code which must be "
        "executed to correctly load the dataset."
    ),
    (
        "PyTorch was not found. Models won't be available and only tokenizers, configuration and file/data "
        "utilities can "
        "be used."
    ),
    (
        f"{SITE}/transformers/generation/configuration_utils.py:590: UserWarning: `do_sample` is set to "
        "`False`. However, "
        "`temperature` is set to `0.6` -- this flag is only used in sample-based generation modes."
    ),
    "Some parameters are on the meta device because they were offloaded to the cpu.",
    "huggingface/tokenizers: The current process just got forked, after parallelism has already been used.",
    (
        "Some weights of BertForSequenceClassification were not initialized from the model checkpoint at b "
        "and are newly "
        "initialized: ['classifier.bias', 'classifier.weight']"
    ),
    "`flash-attention` package not found, consider installing for better performance: No module named 'flash_attn'.",
    "Could not reach the Hub (Cannot reach https://huggingface.co/api/models/x: offline mode is enabled.",
    (
        "Unable to register cuDNN factory: Attempting to register factory for plugin cuDNN when one has already been "
        "registered"
    ),
    (
        "[INFO|dynamic_module_utils.py:423] 2026-11-30 14:39:53,320 >> Could not locate the "
        "custom_generate/generate.py inside Qwen/Qwen2.5-7B-Instruct."
    ),
    (
        "[transformers] Passing `generation_config` together with generation-related "
        "arguments=({'begin_suppress_tokens'}) is deprecated and will be removed in future versions. Please pass "
        "either a `generation_config` object OR all generation parameters explicitly, but not both."
    ),
    "The tokenizer has new PAD/BOS/EOS tokens that differ from the model config and generation config.",
    (
        "[INFO|2026-11-30 15:11:04] llamafactory.model.loader:144 >> Failed to load processor: Can't load image "
        "processor for 'Qwen/Qwen3.5-4B'. If you were trying to load it from 'https://huggingface.co/models', make "
        "sure you don't have a local directory with the same name."
    ),
)
ENDS = (
    "{'loss': 2.3, 'grad_norm': 1.2, 'epoch': 0.5}\n{'train_runtime': 10.2, 'train_loss': 2.1, 'epoch': 1.0}\nSaved\n",
    "Generated: Hello, I am a language model.\nDone.\n",
)


@pytest.mark.parametrize("said", CALM)
@pytest.mark.parametrize("end", ENDS)
def test_a_run_that_ended_well_is_not_blamed(said: str, end: str) -> None:
    found = diagnose_log(io.BytesIO(f"trainable params: 4,096\n{said}\n{end}".encode())).findings
    serious = [one for one in found if one.severity in {"blocker", "warning"}]
    assert not [one for one in serious if "newly initialized" not in said or one.code != "task-head"]


def test_a_head_that_an_adapter_brings_is_not_missed() -> None:
    new = (
        "Some weights of RobertaForSequenceClassification were not initialized from the model checkpoint at b and are "
        "newly initialized: ['classifier.dense.bias', 'classifier.dense.weight']\n"
    )
    loaded = "Loading LoRA adapter from: out\nMerging adapter weights into the base model...\nMerge complete.\n"
    of_5 = (
        "score.weight | MISSING    | \n\nNotes:\n- MISSING:\tthose params were newly initialized because missing from "
        "the checkpoint. Consider training on your downstream task.\n"
    )
    assert codes(of_5 + loaded) == []
    assert codes(new) == codes(of_5) == ["task-head"]
    assert codes(loaded + new) == ["task-head"]
    assert codes(new + loaded) == []
