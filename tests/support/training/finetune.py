"""Fine-tune a tiny base with a LoRA adapter, in one of several trainers, every setting an option. Runs in a pinned
environment: transformers, peft, and trl and datasets where they are asked for. Nothing of envpin.

    finetune.py --base BASE --data rows.jsonl --output out [--trainer hf|sft|dpo] [--steps 8] …
"""

import argparse
import json
import os
import random
from pathlib import Path
from typing import Any


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--trainer", default="hf")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--data-seed", type=int)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--autocast", action="store_true")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=1000)
    parser.add_argument("--log-every", type=int, default=2)
    parser.add_argument("--late-seed", action="store_true", help="make the adapter before anything is seeded")
    parser.add_argument("--in-order", action="store_true")
    parser.add_argument("--resume")
    parser.add_argument("--length", type=int, default=48, help="tokens of a row at most (hf)")
    parser.add_argument("--pad-left", action="store_true", help="another collator, which pads in front (hf)")
    parser.add_argument("--evaluate", action="store_true", help="on some rows, every four steps (hf)")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON", help="an argument of the trainer")
    parser.add_argument("--lora", action="append", default=[], metavar="NAME=JSON", help="a field of the adapter")
    parser.add_argument("--loss-package", action="store_true", help="the loss is what the package `lossy` makes of it")
    return parser.parse_args()


def base_and_tokenizer(asked: argparse.Namespace) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(
        asked.base, torch_dtype=getattr(torch, asked.dtype), attn_implementation=asked.attention
    )
    return model, AutoTokenizer.from_pretrained(asked.base)


def lora(asked: argparse.Namespace) -> Any:
    from peft import LoraConfig

    fields = {"r": 4, "lora_alpha": 8, "lora_dropout": asked.dropout, "target_modules": ["q_proj", "v_proj"]}
    return LoraConfig(**{**fields, **named(asked.lora)}, task_type="CAUSAL_LM")


def named(words: "list[str]") -> "dict[str, Any]":
    return {name: json.loads(value) for name, _, value in (word.partition("=") for word in words)}


def settings(asked: argparse.Namespace) -> "dict[str, Any]":
    made = {
        "output_dir": asked.output, "max_steps": asked.steps, "per_device_train_batch_size": asked.batch,
        "gradient_accumulation_steps": asked.accumulation, "learning_rate": asked.rate, "seed": asked.seed,
        "data_seed": asked.data_seed, "logging_steps": asked.log_every, "save_steps": asked.save_every,
        "bf16": asked.autocast, "dataloader_num_workers": asked.workers, "report_to": [], "use_cpu": True,
        "disable_tqdm": True, "lr_scheduler_type": "linear", "warmup_steps": 0,
    }  # fmt: skip
    if asked.evaluate:
        made.update(eval_strategy="steps", eval_steps=4)
    return {**made, **named(asked.set)}


def by_trainer(asked: argparse.Namespace) -> Any:
    import torch
    from peft import get_peft_model
    from transformers import Trainer, TrainingArguments, set_seed

    model, tokenizer = base_and_tokenizer(asked)
    if not asked.late_seed:
        set_seed(asked.seed)
    model = get_peft_model(model, lora(asked))
    lines = [json.loads(line) for line in Path(asked.data).read_text().splitlines() if line]
    rows = []
    for line in lines:
        text = tokenizer.apply_chat_template([{"role": "user", "content": line["text"]}], tokenize=False)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"][: asked.length]
        rows.append({"input_ids": ids, "labels": list(ids)})

    def collate(batch: "list[dict[str, Any]]") -> "dict[str, Any]":
        longest = max(len(one["input_ids"]) for one in batch)
        padded = {"input_ids": [], "attention_mask": [], "labels": []}  # type: dict[str, Any]
        for one in batch:
            short = longest - len(one["input_ids"])
            padded["input_ids"].append(one["input_ids"] + [2] * short)
            padded["attention_mask"].append([1] * len(one["input_ids"]) + [0] * short)
            padded["labels"].append(one["labels"] + [-100] * short)
        return {name: torch.tensor(value) for name, value in padded.items()}

    def collate_in_front(batch: "list[dict[str, Any]]") -> "dict[str, Any]":
        made = collate([{name: value[::-1] for name, value in one.items()} for one in batch])
        return {name: value.flip(1) for name, value in made.items()}

    class Ordered(Trainer):  # type: ignore[misc,unused-ignore]
        def _get_train_sampler(self, *_args: Any, **_kwargs: Any) -> Any:
            return torch.utils.data.SequentialSampler(rows) if asked.in_order else super()._get_train_sampler()

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
            found = super().compute_loss(model, inputs, return_outputs, **more)
            if asked.loss_package:
                import lossy  # type: ignore[import-not-found]

                return lossy.scaled(found)
            return found * float(os.environ["FINETUNE_SCALE"]) if "FINETUNE_SCALE" in os.environ else found

    return Ordered(
        model=model, args=TrainingArguments(**settings(asked)), train_dataset=rows, eval_dataset=rows[:4],
        data_collator=collate_in_front if asked.pad_left else collate,
    )  # fmt: skip


def by_sft(asked: argparse.Namespace) -> Any:
    from datasets import load_dataset
    from transformers import set_seed
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = base_and_tokenizer(asked)
    if not asked.late_seed:
        set_seed(asked.seed)
    rows = load_dataset("json", data_files=asked.data, split="train")
    return SFTTrainer(
        model=model, args=SFTConfig(**settings(asked), max_length=48), train_dataset=rows, processing_class=tokenizer,
        peft_config=lora(asked),
    )  # fmt: skip


def by_dpo(asked: argparse.Namespace) -> Any:
    from datasets import load_dataset
    from transformers import set_seed
    from trl import DPOConfig, DPOTrainer

    model, tokenizer = base_and_tokenizer(asked)
    if not asked.late_seed:
        set_seed(asked.seed)
    rows = load_dataset("json", data_files=asked.data, split="train")
    rows = rows.map(
        lambda one: {"prompt": one["text"], "chosen": " yes", "rejected": " no no"}, remove_columns=["text"]
    )
    return DPOTrainer(
        model=model, args=DPOConfig(**settings(asked), max_length=48, max_prompt_length=32), train_dataset=rows,
        processing_class=tokenizer, peft_config=lora(asked),
    )  # fmt: skip


def write_rows(path: str, count: int = 40, seed: int = 1) -> None:
    draw = random.Random(seed)
    words = ["red", "green", "blue", "one", "two", "three", "cat", "dog", "sun", "rain"]
    lines = [json.dumps({"text": " ".join(draw.choices(words, k=draw.randint(3, 7)))}) for _ in range(count)]
    Path(path).write_text("\n".join(lines) + "\n")


def main() -> None:
    asked = options()
    if asked.threads:
        import torch

        torch.set_num_threads(asked.threads)
    made = {"hf": by_trainer, "sft": by_sft, "dpo": by_dpo}[asked.trainer](asked)
    made.train(resume_from_checkpoint=asked.resume)
    made.save_model(asked.output)


if __name__ == "__main__":
    main()
