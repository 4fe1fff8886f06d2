"""Make a tiny base and fine-tune it. Runs in a pinned environment; knows nothing of envpin.

usage: train_tiny.py KIND FOLDER
"""

import sys
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers

LORA: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}


def tokenizer() -> Any:
    words = ["<unk>", "<s>", "</s>", *[f"w{at}" for at in range(317)]]
    table = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
    table.pre_tokenizer = pre_tokenizers.Whitespace()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=table, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    made.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return made


def llama(tied: bool) -> Any:
    config = transformers.LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=131072,
        rope_theta=500000.0,
        rope_scaling={
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        tie_word_embeddings=tied,
        torch_dtype="bfloat16",
    )
    return transformers.LlamaForCausalLM(config)


def qwen2() -> Any:
    config = transformers.Qwen2Config(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        dtype="bfloat16",
    )
    return transformers.Qwen2ForCausalLM(config)


def qwen2_vl() -> Any:
    config = transformers.Qwen2VLConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_scaling={"type": "mrope", "mrope_section": [2, 3, 3]},
        vision_config={
            "depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14,
        },
        torch_dtype="bfloat16",
        bos_token_id=1,
        eos_token_id=2,
        image_token_id=300,
        video_token_id=301,
        vision_start_token_id=302,
        vision_end_token_id=303,
    )  # fmt: skip
    return transformers.Qwen2VLForConditionalGeneration(config)


def make(kind: str) -> tuple[Any, dict[str, Any]]:
    """A new model of this kind, and what its LoraConfig is beside `LORA`."""
    torch.manual_seed(0)
    trained = {"modules_to_save": ["embed_tokens", "lm_head"]}
    if kind == "qwen2-vl":
        return qwen2_vl(), {}
    if kind == "qwen2-grown-embedding":
        return qwen2(), {"modules_to_save": ["embed_tokens"]}
    return llama(tied=kind == "llama-grown-tied"), trained if "grown" in kind else {}


def quantization(kind: str) -> dict[str, Any]:
    """QLoRA as most recipes have it; `-packed`: over a base that was saved quantized."""
    if "qlora" not in kind:
        return {}
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config}


def main(kind: str, folder: str) -> None:
    model, extra = make(kind)
    words = tokenizer()
    base, output = f"{folder}/base", f"{folder}/adapter"
    model.to(torch.bfloat16).save_pretrained(base)
    words.save_pretrained(base)
    model = type(model).from_pretrained(base, torch_dtype=torch.bfloat16, **quantization(kind))
    if kind.endswith("-packed"):
        model.save_pretrained(base)
        model = type(model).from_pretrained(base, torch_dtype=torch.bfloat16)
    rows = 300
    if "grown" in kind:
        words.add_special_tokens({"additional_special_tokens": ["<think>"]})
        model.resize_token_embeddings(len(words))
        rows = len(words)
    model = get_peft_model(model, LoraConfig(**LORA, **extra))
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=5e-3)
    for _ in range(0 if kind == "llama-untrained" else 5):
        ids = torch.randint(0, rows, (2, 16))
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    # Of a grown vocabulary peft saves both tables by itself; trainers that write the state dict save what was trained.
    model.save_pretrained(output, **({"save_embedding_layers": False} if kind.endswith("-embedding") else {}))
    words.save_pretrained(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
