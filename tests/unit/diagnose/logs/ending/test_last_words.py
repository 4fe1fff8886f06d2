from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envpin.diagnose.logs.ending.last_words import of_last_words
from envpin.diagnose.logs.reader import diagnose_log
from tests.support.logs import SCRIPT, answer

# What scripts print before they end, the cause, and a word that the answer has to hold.
SAID = [
    ("❌ HF_TOKEN not found in environment. Run: export HF_TOKEN=hf_xxx", "settings-refused", "HF_TOKEN"),
    ("Please set the HF_TOKEN environment variable to load the model", "settings-refused", "HF_TOKEN"),
    ("ERROR: CUDA is not available. This script requires a GPU.", "gpu-not-supported", "CUDA"),
    ("Unknown model 'llama9'. Available: llama2, llama3", "settings-refused", "llama9"),
    ("ERROR: No training data found!", "data-not-as-expected", "No training data"),
    ("Config file configs/lora.yaml not found.", "settings-refused", "configs/lora.yaml"),
    ("Output directory merged/ already exists. Use --force to overwrite.", "output-exists", "merged"),
    ("No checkpoint at out/final; run without --skip-train first", "base-not-found", "out/final"),
    ("Adapter directory ./my-lora has no adapter_config.json, exiting", "adapter-not-found", "./my-lora"),
    ("Error: no se encontró el modelo en modelos/bert", "base-not-found", "modelos/bert"),
    ("FEHLER: Modell nicht gefunden: modelle/llama", "base-not-found", "modelle/llama"),
    ("Erreur : le modèle modeles/camembert est introuvable.", "base-not-found", "modeles/camembert"),
    ("Ошибка: модель не найдена: models/rugpt", "base-not-found", "models/rugpt"),
    ("エラー: モデルが見つかりません: models/elyza-7b", "base-not-found", "models/elyza-7b"),
    ("❌ 错误: 模型路径不存在: ./models/Qwen2", "base-not-found", "./models/Qwen2"),
    ("Usage: python merge_adapter.py <base_model> <adapter> <out>", "settings-refused", "<base_model>"),
    ("bash: scripts/run_train.sh: No such file or directory", "settings-refused", "scripts/run_train.sh"),
    ("Missing dependency: bitsandbytes. Install with: pip install bitsandbytes", "package-missing", "`bitsandbytes`"),
    (
        "gguf not installed. Install with: pip install git+https://github.com/ggml-org/llama.cpp",
        "package-missing",
        "`gguf`",
    ),
    ("Please specify only one of --load_in_4bit and --load_in_8bit", "settings-refused", "--load_in_8bit"),
    ("Error: se requiere una GPU con CUDA para entrenar", "gpu-not-supported", "GPU"),
    ("Total samples: 0", "data-not-as-expected", "without rows"),
    ("Accuracy: 0.00% (0/0 answered)", "data-not-as-expected", "without rows"),
    ("Erreur : la variable HF_TOKEN n'est pas définie", "settings-refused", "HF_TOKEN"),
    ("CUDA nao esta disponivel. O treino exige GPU CUDA visivel.", "gpu-not-supported", "sees none"),
    ("[WARNING] merge: CUDA is not available. Simulating the merge.", "gpu-not-supported", "made as if"),
    ("Dataset validation failed: 58 records, 2 errors, 25 warnings", "data-not-as-expected", "2 errors"),
    ("e.sh: line 3: ../build/bin/llama-quantize: No such file or directory", "package-missing", "`llama-quantize`"),
    ("Error: Directory tldr/pages/common does not exist.", "data-not-as-expected", "`tldr/pages/common`"),
]


@pytest.mark.parametrize(("line", "code", "word"), SAID, ids=lambda one: one[:30])
def test_a_last_line_tells_why_the_program_ended(line: str, code: str, word: str) -> None:
    findings = diagnose_log(io.BytesIO(f"Loading tokenizer\n{line}\n".encode())).findings
    assert [one.code for one in findings] == [code]
    assert word in findings[0].message


@pytest.mark.parametrize(
    "log",
    [
        "Warning: HF_TOKEN not set - downloads may be rate-limited.\nSaved model to out\n",
        "Training LoRA\nEpoch 0/0\nSkipped rows: 0\nTraining step 10/10\n",
        "No GPU found, using CPU\nTraining LoRA\nDone.\n",
        "Error: Unknown model 'x'\n" + "step\n" * 40 + "LoRA saved\n",
        "Loaded 0 validation samples\n{'train_runtime': 3.2, 'train_loss': 2.1}\n",
    ],
)
def test_a_run_that_goes_on_has_no_cause(log: str) -> None:
    assert diagnose_log(io.BytesIO(log.encode())).findings == ()


@given(st.lists(st.text(max_size=80), max_size=14), st.booleans())
def test_any_lines_are_read(lines: list[str], in_field: bool) -> None:
    said = of_last_words(lines, in_field=in_field)
    assert said is None or (said[1] in lines[said[0]] and said[2].says)


def test_an_adapter_that_a_run_does_without_is_told() -> None:
    log = "LoRA adapter NOT found at ./lora_whisper. Falling back to standard Whisper...\nWER: 0.7\n"
    findings = diagnose_log(io.BytesIO(log.encode())).findings
    assert [(one.code, one.severity) for one in findings] == [("adapter-not-found", "warning")]


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("bash: ./finetune.sh: Permission denied", "bash ./finetune.sh"),
        (r"finetune.sh: line 5: $'--model_name_or_path\r': command not found", "sed -i"),
    ],
)
def test_a_shell_says_what_it_cannot_run(line: str, step: str) -> None:
    findings = diagnose_log(io.BytesIO(f"{line}\n".encode())).findings
    assert [one.code for one in findings] == ["settings-refused"]
    assert step in findings[0].fix[0]


def test_a_hint_of_hydra_is_no_variable_that_is_missing() -> None:
    log = f"{SCRIPT}    f()\nEOF\n\nSet the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n"
    assert "HYDRA_FULL_ERROR" not in answer(log)[1]


@pytest.mark.parametrize(("before", "known"), [("", True), ("Reading the shop's orders\n" * 3, False)])
def test_a_folder_of_any_name_counts_in_a_log_of_a_line_or_two(before: str, known: bool) -> None:
    codes, _ = answer(f"{before}Error: Directory orders/2026 does not exist.\n")
    assert codes == (["data-not-as-expected"] if known else [])


def test_a_release_that_a_command_refuses_is_no_setting() -> None:
    codes, text = answer("Loading trl\nERROR: installed trl 1.16.0 does not have PPOTrainer. Downgrade trl to 0.11\n")
    assert codes == ["library-api-changed"]
    assert "went with trl 0.29" in text
