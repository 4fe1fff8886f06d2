"""Make tiny adapters the ordinary ways, in an environment of some era. Runs there; knows nothing of envpin.

usage: era_inside.py FOLDER

Leaves in FOLDER: `base`; `plain`, an adapter that peft alone saved; `run`, what the HF Trainer leaves, with
`run/checkpoint-2` in it; `configs/TYPE`, the config of every other method of this peft at its defaults; `truth.json`.
"""

import importlib
import importlib.metadata
import inspect
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

os.environ.update(CUDA_VISIBLE_DEVICES="", WANDB_DISABLED="true", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

import peft
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT = ["the cat sat on the mat", "a dog sat on the log", "the cat and the dog sat"]


def tokenizer() -> Any:
    table = Tokenizer(models.BPE(unk_token="<unk>"))
    table.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    table.decoder = decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>"]
    table.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=48, special_tokens=special))
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=table, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    made.pad_token = "</s>"
    made.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return made


def base(folder: str, words: Any) -> None:
    config = transformers.LlamaConfig(
        vocab_size=48,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
    words.save_pretrained(folder)


def model(folder: str) -> Any:
    try:
        loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)
    except TypeError:
        loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    return peft.get_peft_model(loaded, config)


def plain(base_folder: str, folder: str) -> None:
    trained = model(base_folder)
    with torch.no_grad():
        for name, value in trained.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.02)
    options: Any = {}
    if "safe_serialization" in inspect.signature(trained.save_pretrained).parameters:
        options["safe_serialization"] = True
    trained.save_pretrained(folder, **options)


def run(base_folder: str, folder: str, words: Any) -> None:
    rows = []
    for text in TEXT * 2:
        ids = words(text)["input_ids"]
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": ids})
    options: Any = {
        "output_dir": folder,
        "max_steps": 2,
        "save_steps": 2,
        "logging_steps": 1,
        "per_device_train_batch_size": 1,
        "report_to": [],
    }
    known = inspect.signature(transformers.TrainingArguments).parameters
    options["use_cpu" if "use_cpu" in known else "no_cpu"] = True
    if "use_cpu" not in known:
        options.pop("no_cpu", None)
        options["no_cuda"] = True
    named = inspect.signature(transformers.Trainer.__init__).parameters
    words_as = "processing_class" if "processing_class" in named else "tokenizer"
    trainer = transformers.Trainer(
        model=model(base_folder),
        args=transformers.TrainingArguments(**options),
        train_dataset=rows,
        data_collator=transformers.DataCollatorForSeq2Seq(words),
        **{words_as: words},
    )
    trainer.train()
    trainer.save_model(folder)
    trainer.save_state()
    trainer.create_model_card(model_name="tiny")


def configs(folder: str) -> None:
    mapping: Any = getattr(peft, "PEFT_TYPE_TO_CONFIG_MAPPING", None)
    if mapping is None:
        mapping = importlib.import_module("peft.mapping").PEFT_TYPE_TO_CONFIG_MAPPING
    for kind, made in mapping.items():
        name = getattr(kind, "value", str(kind))
        try:
            made().save_pretrained(f"{folder}/{name}")
        except Exception as error:  # noqa: BLE001  some cannot be made without arguments
            sys.stderr.write(f"{name}: {error!r}\n")


def truth() -> "dict[str, str]":
    found = {"python": platform.python_version()}
    for name in ("peft", "transformers", "torch", "tokenizers", "accelerate", "safetensors"):
        found[name] = importlib.metadata.version(name)
    return found


def main(folder: str) -> None:
    words = tokenizer()
    base(folder + "/base", words)
    plain(folder + "/base", folder + "/plain")
    configs(folder + "/configs")
    run(folder + "/base", folder + "/run", words)
    Path(folder, "truth.json").write_text(json.dumps(truth(), indent=1, sort_keys=True))


if __name__ == "__main__":
    main(sys.argv[1])
