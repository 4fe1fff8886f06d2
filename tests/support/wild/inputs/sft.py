"""TRL's SFTTrainer with a LoRA. usage: sft.py OUT, in the folder that base.py filled."""

import sys

from datasets import load_dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer


def main(out: str) -> None:
    arguments = SFTConfig(
        output_dir=out, max_steps=12, per_device_train_batch_size=2, learning_rate=1e-2, save_steps=6, report_to=[],
        use_cpu=True, logging_steps=6,
    )  # fmt: skip
    lora = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"])
    data = load_dataset("csv", data_files="text/train.csv", split="train")
    trainer = SFTTrainer(model="base", args=arguments, train_dataset=data, peft_config=lora)
    trainer.train()
    trainer.save_model()


if __name__ == "__main__":
    main(sys.argv[1])
