"""How each trainer is installed and started. Runs on a CPU, offline, on a tiny Llama that is made on the spot."""

from __future__ import annotations

from dataclasses import dataclass

# Not needed by a text run, and its wheels on PyPI want torch with CUDA.
WITHOUT_VISION = ("torchvision", "timm", "torchaudio")
TORCH = "torch==2.13.0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trainer:
    """`command` runs in a folder with `base`, `text/`, `chat/` and `alpaca.json`, and leaves the folder `leaves`.

    `{inputs}` in it is the folder of the scripts beside this file. `stubs` are modules that are imported and not used.
    """

    requirements: tuple[str, ...]
    command: tuple[str, ...]
    leaves: str
    without: tuple[str, ...] = WITHOUT_VISION
    stubs: tuple[str, ...] = ()


def _autotrain(name: str, data: str, column: str, *more: str) -> Trainer:
    command = ("autotrain", "llm", "--train", "--project-name", name, "--model", "base", "--data-path", data,
               "--text-column", column, "--trainer", "sft", "--peft", "--quantization", "none", "--epochs", "4",
               "--batch-size", "2", "--gradient-accumulation", "1", "--block-size", "64", "--lora-r", "4", "--lr",
               "1e-2", "--mixed-precision", "none", *more)  # fmt: skip
    return Trainer(requirements=("autotrain-advanced==0.8.36",), command=command, leaves=name)


def _trl(version: str, *more: str) -> Trainer:
    name = f"trl-{version}"
    return Trainer(requirements=(f"trl=={version}", *more), command=("python", "{inputs}/sft.py", name), leaves=name)


def _llamafactory(version: str, *more: str, stubs: tuple[str, ...] = ()) -> Trainer:
    name = f"llamafactory-{version}"
    command = ("llamafactory-cli", "train", "{inputs}/llamafactory.yaml", f"output_dir={name}")
    return Trainer(requirements=(f"llamafactory=={version}", *more), command=command, leaves=name, stubs=stubs)


TRAINERS: dict[str, Trainer] = {
    "autotrain": _autotrain("autotrain", "text", "text"),
    # The chat template adds tokens, so that the embeddings are resized and saved.
    "autotrain-chat": _autotrain("autotrain-chat", "chat", "messages", "--chat-template", "chatml"),
    "autotrain-merged": _autotrain(
        "autotrain-merged", "chat", "messages", "--chat-template", "chatml", "--merge-adapter"
    ),
    "trl-0.12.2": _trl("0.12.2", "peft==0.13.2"),
    "trl-1.16.0": _trl("1.16.0", "peft==0.21.2"),
    "hf-trainer": Trainer(
        requirements=("transformers==4.43.1", "peft==0.12.0", "accelerate"),
        command=("python", "{inputs}/trainer.py", "hf-trainer"),
        leaves="hf-trainer",
    ),
    # The release pins numpy 1, which today's pyarrow and pandas refuse.
    "llamafactory-0.9.3": _llamafactory("0.9.3", "pyarrow<20", "pandas<3"),
    "llamafactory-0.9.5": _llamafactory("0.9.5", stubs=("torchaudio",)),
    "ms-swift": Trainer(
        requirements=("ms-swift==4.6.0",),
        command=("swift", "sft", "--model", "base", "--model_type", "llama", "--template", "default", "--tuner_type",
                 "lora", "--lora_rank", "4", "--dataset", "alpaca.json", "--max_steps", "12", "--save_steps", "6",
                 "--learning_rate", "1e-2", "--per_device_train_batch_size", "2", "--max_length", "64", "--output_dir",
                 "ms-swift", "--use_hf", "true", "--torch_dtype", "bfloat16", "--use_cpu", "true"),
        leaves="ms-swift",
    ),
    "unsloth": Trainer(
        requirements=("unsloth==2026.10.9",), command=("python", "{inputs}/unsloth_sft.py", "unsloth"), leaves="unsloth"
    ),
}  # fmt: skip
