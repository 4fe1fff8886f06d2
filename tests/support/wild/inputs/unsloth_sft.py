"""Unsloth, which patches transformers and TRL when it is imported. usage: unsloth_sft.py OUT"""

import sys

from unsloth import FastLanguageModel  # isort: skip  # before what it patches
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer


def main(out: str) -> None:
    model, tokenizer = FastLanguageModel.from_pretrained("base", max_seq_length=64, load_in_4bit=False)
    model = FastLanguageModel.get_peft_model(model, r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    arguments = SFTConfig(
        output_dir=out, max_steps=12, per_device_train_batch_size=2, learning_rate=1e-2, save_steps=6, report_to=[],
        logging_steps=6, dataset_text_field="text", max_length=64,
    )  # fmt: skip
    data = load_dataset("csv", data_files="text/train.csv", split="train")
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)
    trainer.train()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main(sys.argv[1])
