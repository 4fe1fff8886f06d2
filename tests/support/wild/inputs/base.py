"""A tiny Llama with its tokenizer, and 48 examples as text, as messages and as instructions. usage: base.py FOLDER

Runs in a trainer's environment; knows nothing of envpin.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

TEMPLATE = "{% for message in messages %}{{ message['role'] + ' ' + message['content'] + ' ' }}{% endfor %}"
WORDS = ["<unk>", "<s>", "</s>", "user", "assistant", *[f"w{at}" for at in range(251)]]


def tokenizer() -> Any:
    table = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    table.pre_tokenizer = pre_tokenizers.Whitespace()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=table, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    made.chat_template = TEMPLATE
    return made


def model() -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    made = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    made.config.torch_dtype = torch.bfloat16
    return made


def text(length: int) -> str:
    return " ".join(random.choice(WORDS[5:]) for _ in range(length))


def main(folder: Path) -> None:
    model().save_pretrained(folder / "base")
    tokenizer().save_pretrained(folder / "base")
    random.seed(0)
    for name in ("text", "chat", "lf"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "text" / "train.csv").write_text("text\n" + "".join(f"{text(20)}\n" for _ in range(48)))
    pairs = [(text(8), text(12)) for _ in range(48)]
    turns = [[{"role": "user", "content": asked}, {"role": "assistant", "content": answer}] for asked, answer in pairs]
    (folder / "chat" / "train.jsonl").write_text("".join(json.dumps({"messages": one}) + "\n" for one in turns))
    alpaca = [{"instruction": asked, "input": "", "output": answer} for asked, answer in pairs]
    (folder / "alpaca.json").write_text(json.dumps(alpaca))
    (folder / "lf" / "dataset_info.json").write_text(json.dumps({"mine": {"file_name": "../alpaca.json"}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
