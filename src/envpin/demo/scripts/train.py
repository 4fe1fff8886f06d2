"""An ordinary fine-tune: LoRA on the attention, one token added, HF Trainer. Knows nothing of envpin.

usage: train.py BASE OUTPUT
"""

import sys
from typing import Any, Dict, List

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, set_seed

TEXT = (
    "<think> the model learned to answer in the words of its teacher "
    "<think> and nobody wrote down which versions it was using"
)


def lines(tokenizer: Any, count: int) -> List[Dict[str, torch.Tensor]]:
    ids = torch.tensor(tokenizer(TEXT)["input_ids"])
    rolled = [torch.roll(ids, at) for at in range(count)]
    return [{"input_ids": one, "attention_mask": torch.ones_like(one), "labels": one} for one in rolled]


def main(base: str, output: str) -> None:
    # Before the adapter is made: `Trainer` seeds only once it has a model, whose first weights are drawn by then.
    set_seed(7)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, torch_dtype=torch.bfloat16)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>"]})
    model.resize_token_embeddings(len(tokenizer))
    config = LoraConfig(
        r=8,
        lora_alpha=16,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        modules_to_save=["embed_tokens", "lm_head"],
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(model, config)
    arguments = TrainingArguments(
        output_dir=output + "-checkpoints",
        max_steps=8,
        per_device_train_batch_size=4,
        learning_rate=5e-3,
        logging_steps=4,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=7,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=lines(tokenizer, 64))
    trainer.train()
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
