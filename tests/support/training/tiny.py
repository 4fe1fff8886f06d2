"""Make a tiny Llama and its tokenizer on the spot, and fine-tune it in one of several ways. Runs in a pinned
environment: transformers, peft and the standard library alone.

    tiny.py make FOLDER                 a base with 320 rows and a tokenizer of 320 tokens
    tiny.py trainer BASE OUT            HF Trainer, LoRA on q/v and the embedding, one token added, two checkpoints
    tiny.py loop BASE OUT               a plain loop and save_pretrained, no tokenizer saved
    tiny.py ranks BASE OUT              a plain loop under torchrun
    tiny.py sabotage BASE OUT           many saves, each with another place of the recorder made to fail
"""

import os
import sys
from pathlib import Path
from typing import Any

TOKEN = "<|tool|>"


def make(folder: str) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<unk>", "<s>", "</s>", *alphabet])}
    merges = []
    for left in alphabet[60:]:
        if len(vocabulary) == 320:
            break
        merges.append((left, "e" if "e" in vocabulary else left))
        vocabulary[left + merges[-1][1]] = len(vocabulary)
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load(base: str) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base)


def lora(model: Any, **more: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], **more))


def trainer(base: str, out: str) -> None:
    import torch
    from transformers import AutoTokenizer, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens([TOKEN])
    model = load(base)
    model.resize_token_embeddings(len(tokenizer))
    model = lora(model.to(torch.float32), modules_to_save=["embed_tokens", "lm_head"], task_type="CAUSAL_LM")
    rows = [{"input_ids": (ids := tokenizer("hello " + TOKEN)["input_ids"]), "labels": list(ids)} for _ in range(8)]
    arguments = TrainingArguments(
        output_dir=out, max_steps=4, save_steps=2, per_device_train_batch_size=2, seed=11, data_seed=12, report_to=[],
        use_cpu=True, disable_tqdm=True, logging_steps=100,
    )  # fmt: skip
    version = int(__import__("transformers").__version__.split(".")[0])
    passed = {"processing_class" if version >= 5 else "tokenizer": tokenizer}
    made = Trainer(model=model, args=arguments, train_dataset=rows, **passed)
    made.train()
    made.save_model(out)
    sys.stdout.write(f"trained {made.state.global_step}\n")


def loop(base: str, out: str) -> None:
    import torch

    model = lora(load(base).to(torch.float32))
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=0.1)
    for _ in range(int(os.environ.get("TINY_STEPS", "2"))):
        ids = torch.arange(8).reshape(1, 8)
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
    model.save_pretrained(out)
    sys.stdout.write(f"saved {float(loss):.3f}\n")
    if "TINY_STATUS" in os.environ:
        sys.exit(int(os.environ["TINY_STATUS"]))


def ranks(base: str, out: str) -> None:
    import torch

    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    model = lora(load(base).to(torch.float32))
    ids = torch.arange(8).reshape(1, 8)
    model(input_ids=ids, labels=ids).loss.backward()
    model.save_pretrained(out, is_main_process=rank == 0)
    torch.distributed.barrier()
    if rank != 0:
        model.save_pretrained(out)  # a script that forgets is_main_process
    torch.distributed.destroy_process_group()


def sabotage(base: str, out: str) -> None:
    """Load, resize, add a token and save, once for each place of the recorder that is made to fail; where nothing
    records, the same without a failure."""
    import errno
    import importlib

    from transformers import AutoTokenizer, set_seed

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device (" + point + ")")

    for point in POINTS:
        if "_envpin_hook" in sys.modules:
            module, name = point.split(".")
            owner = importlib.import_module("_envpin_hook." + module)
            original = getattr(owner, name)
            setattr(owner, name, fail)
        set_seed(5)
        tokenizer = AutoTokenizer.from_pretrained(base)
        tokenizer.add_tokens([TOKEN])
        model = load(base)
        model.resize_token_embeddings(len(tokenizer))
        model = lora(model)
        folder = Path(out, point)
        model.save_pretrained(folder)
        model.merge_and_unload().save_pretrained(folder / "merged")
        tokenizer.save_pretrained(folder)
        sys.stdout.write(point + "\n")
        if "_envpin_hook" in sys.modules:
            setattr(owner, name, original)


POINTS = (
    "observed.resolved", "observed.note_load", "observed.rows", "observed.note_resize", "observed.note_tokenizer",
    "observed.note_added", "observed.tokenizer_for", "observed.describe_tokenizer", "observed.resizes_of",
    "observed.trainer_of", "surroundings.python", "surroundings.distributions", "surroundings.torch",
    "surroundings.environment", "artefacts.saved", "artefacts.tensors", "artefacts.sha256", "artefacts.json_file",
    "document.after_model_save", "document.after_tokenizer_save", "document.render", "document._run",
)  # fmt: skip


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    Path(rest[-1]).mkdir(parents=True, exist_ok=True)
    if what == "make":
        make(rest[0])
    else:
        {"trainer": trainer, "loop": loop, "ranks": ranks, "sabotage": sabotage}[what](*rest)
