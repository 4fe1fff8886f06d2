"""Whether a log is of this field: what any program prints counts only where something else in it is. Pure."""

from __future__ import annotations

import re

# Frames and imports of the libraries of this field, and what they alone print.
_SIGNS = re.compile(
    rb"packages[/\\](?:transformers|peft|trl|accelerate|datasets|tokenizers|sentence_transformers|bitsandbytes|deepspeed|"
    rb"vllm|diffusers|unsloth|llamafactory|swift|axolotl|optimum|safetensors|evaluate|setfit|mergekit|lm_eval|"
    rb"torch|onnx|onnxruntime|mlx_lm|ctranslate2|gguf|sentencepiece|lightning)[/\\]|"
    rb"(?:from|import) (?:transformers|peft|trl|accelerate|datasets|bitsandbytes|unsloth|sentence_transformers)\b|"
    rb"Loading checkpoint shards|Loading weights: |Writing model shards|"
    rb"'train_runtime'|'train_loss'|trainable params: |"
    rb"\[transformers\] |LoraConfig|AutoModel|"
    rb"AutoTokenizer|TrainingArguments|Generating \w+ split: |Map: +\d+%|\{'loss': "
)
# What the path of a script shows of it.
_PATHS = re.compile(
    r"(?i)lora|peft|llama|qwen|mistral|gemma|\bgpt|llm|fine[-_]?tun|tokeniz|(?<![a-z])train|"
    r"quantiz|safetensor|gguf|[_-](?:dpo|sft|grpo|ppo)\b|rlhf|transformers|hugging"
)


def shows_the_field(block: bytes) -> bool:
    """Whether something in these lines comes of a program of this field."""
    return _SIGNS.search(block) is not None


def is_named_after_it(path: str) -> bool:
    """Whether the path of a script speaks of training or of models."""
    return _PATHS.search(path) is not None
