"""The Trainer of transformers with a LoRA, no other library. usage: trainer.py OUT"""

import sys
from pathlib import Path

from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments


def main(out: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained("base")
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained("base"),
        LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"]),
    )
    lines = Path("text/train.csv").read_text().splitlines()[1:]
    ids = [tokenizer(line)["input_ids"] for line in lines]
    data = [{"input_ids": one, "labels": one} for one in ids]
    arguments = TrainingArguments(
        output_dir=out, max_steps=12, per_device_train_batch_size=2, learning_rate=1e-2, save_steps=6, report_to=[],
        use_cpu=True,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=data, tokenizer=tokenizer)
    trainer.train()
    trainer.save_model()
    trainer.create_model_card()


if __name__ == "__main__":
    main(sys.argv[1])
