"""Whole logs of strangers' programs, run in other environments than their own: the cause is known by experiment."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import pytest

from envpin.diagnose.catalogue.catalogue import load_catalogue
from envpin.diagnose.logs.reader import diagnose_log
from tests.support.judging import is_right

DATA = Path(__file__).resolve().parents[3] / "data" / "runs"
RUNS = [run for path in sorted(DATA.glob("*.toml")) for run in tomllib.loads(path.read_text(encoding="utf-8"))["run"]]
# Known to be missed today; docs/reference/wild.md says why.
MISSED = {
    "finetuning-deepseek_sft-c4-cutjson",
    "tinyllama_lora_cli_copilot-train-c4-badline",
    "rgft-test-adapter-orig-mod",
    "mergekit-slerp-two-architectures",
    "trl-dpo-n-prompt",
    "tulip-train-c4-trlold",
    "tulip-train-c4-accold",
    "fine_tunning-lora_training-c6-cut",
    "llama-cpp-lora-gpt2-adapter",
    "topicllm-merge-reward-works",
    "mehmetdora-merge-html",
    "mehmetdora-merge-fsdp-prefix-warns",
    "whisper-finetune-merge-llama-adapter",
    "lm-eval-pyarrow-needs-numpy-2",
    "csci4140_project-train-n-bf16",
    "tpu-examples-train.grpo-c5-rew",
    "cit-ci_train-c5-cut",
    "gpt2-trainer-main-c4-nofile",
    "ai-edu-assistant-train_model-c4",
    "t5-cnn-dailymail-summarization-train-c4",
    "t5-cnn-dailymail-summarization-train-c4-pb-rouge",
    "llm_alpaca-train-c4",
    "generative-ai-example10.7-c6-bf16",
    "third-b-llama2c-new-stold",
    "third-b-math2sym-t446-pnew",
    "third-b-c-whis",
    "third-b-llama2c-t446-tinyllama",
    "third-b-maxy-t446-ll-html",
    "third-b-mqlora-t451-ll-fsdp",
    "selfheal-old-np2",
    "lmcitegen-ct2-adapterdir",
    "fakenews-eval-headsize",
    "srt-totensor-noindex",
    "playground-minilm-st33",
    "xai-quant-infer",
    "nlpproject-ui-bare",
    "llmtp-deploy-adapteronly",
    "loramergers-nothingcommon",
    "npcllm-gguf-nolorascript",
    "mlx-lm-convert-bin",
    "shak-savedobj",
    "ronit-mid",
    "lauan-mid",
    "playground-minilm-nopooling",
    "supermario-merge-gguf",
    "supermario-merge-4bitload",
    "modernbert-finetune-train-wrongadopt",
    "finetune-speecht5-train-numpyembedding",
    "mbner-lfs-schema",
    "anurag-exportonnx",
    "zanvari-infer-newtok",
    "vimarsh-bench-method",
    "taomed-test-nologin",
    "vmw-chat-longprompt",
    "vmw-generate-tok5",
    "wullms-merge-pefttype",
    "lmeval-nolabel",
    "mergekit-linear-noweight",
    "f1mask-convert-sharded",
    "vocabtrimmer-bert-wordpiece",
    "llmisall-sft-eold",
    "unpairedrlhf-kto-all-true-b",
    "enso-wholemodel",
    "deberta-onnx-tokclass",
    "justcompiler-cfgtype",
    "clusterattn-gen-genconf",
    "htslora-mlx-gpt2",
    "toonnx-quant-notonnx",
    "codecraft-ppl-latin1",
    "panxyz-ort-qwen",
    "congtri-merge-bnb4",
    "maxi-merge-nologin",
    "susana-sd-pandas3-metadata",
    "bloke-merge-morelayers",
    "fulltextkp-led-bart",
    "dpo-convert-numpy",
    "copilot-half-llama",
    "navprune-fewlayers",
    "protocea-ct2-notconverted",
    "torchserve-check-cut",
    "ohara-export-hf",
    "forumspam-export-optimum2",
    "qwen3ft-old",
    "bigjon-trlold",
    "qa-rl-merge-adapter-renamed-keys",
    "detr-boat-num-labels",
    "shard-merger-index-of-other-name",
    "ML_Code_Generation-apply_tokenizer-html-instead-of-vocab",
    "con-module",
    "juju-nosplit",
    "summacoz-merge-no-peft-type",
    "bruh-trl-0.19",
    "gbox-wh-8bit",
    "shop-asis",
    "food-new",
    "lug-bf16attr",
    "tai-resume",
    "yel-grpo",
    "llmutils-predict-nopeft",
    "maksym-merge-convert-old-llamacpp",
    "emotion-text-as-answer",
    "insub-merge-arrow",
    "george-convert",
    "onekid-unsloth-cpu4bit",
    "liangchen-lora-full",
    "bcgov-merge-vocab",
    "samadrita-lora-vocab",
    "aitraining-autotrain-textclass-valid-split-missing",
    "law-llm-unused-columns-kept",
    "qlora-ex-assistant-only-template",
    "ft-kit-sharegpt-data-as-alpaca",
    "llama3-mt-full-false",
    "finqa-lora-wandb-protobuf7",
    "ftlocal-chat-peft-missing",
    "adani-streamlit-plain-python",
    "imdb-checkpoint-of-dataparallel",
    "imdb-checkpoint-with-numpy-accuracy",
    "absa-mergekit-no-network",
    "absa-mergekit-vocab-one-larger",
    "faq-mapping",
    "head-cols",
    "jurisia-hidden",
    "predpo-dpo-no-ranking-flag",
    "ecommercellm-sft-evaluation-strategy",
    "lmtest-run-lora-template-fork",
    "predpo-dpo-null-chosen",
    "finqa-export-adapter-of-newer-peft",
    "jlu-merge-newpeft",
    "jlu-merge-notrenamed",
    "medqa-clm-csv",
    "ner711-datasets320",
    "finqa-train-freshclone",
    "angeerr-swift-optim",
    "afac-predict-dataset",
    "hp-clm-nostate",
    "angeerr-swift-oldargs",
    "scalebench-mllama-text",
    "transcrib3d-peft082-offline",
}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run["name"])
def test_a_real_run_has_its_cause(run: dict[str, Any]) -> None:
    found = {one.code for one in diagnose_log(io.BytesIO(run["log"].encode())).findings}
    assert is_right(run, found) == (run["name"] not in MISSED), found


# Of some files the index of public code tells no repository.
_SOURCES = ("https://", "stored public file ")


def test_every_run_says_what_it_is() -> None:
    known = set(load_catalogue()) | {"", "?"}
    assert {run["code"] for run in RUNS} <= known
    assert len({run["name"] for run in RUNS}) == len(RUNS)
    assert not [run["name"] for run in RUNS if not run["program"].startswith(_SOURCES) or not run["log"].strip()]
