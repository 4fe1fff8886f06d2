"""Runs inside a pinned environment, and fails: python failures_inside.py FOLDER NAME…

Each failure has a process of its own, forked from one that has imported the libraries where that is asked for (`+`
before the first name); what it prints, its traceback last, is FOLDER/NAME.log. What it makes is made by the libraries.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

LLAMA = {"vocab_size": 320, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2}  # fmt: skip


def made(folder: Path, **changes: object) -> Path:
    """A tiny model with other values in its config."""
    import torch
    import transformers

    torch.manual_seed(0)
    base = folder / "base"
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA)).save_pretrained(base)
    document = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**document, **changes}))
    return base


def load(path: Path, **options: object) -> object:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(path, **options)


def out_of_memory(_folder: Path) -> None:
    import torch

    torch.empty(10**14)


def out_of_memory_of_python(_folder: Path) -> None:
    bytearray(10**15)


def out_of_address_space(folder: Path) -> None:
    """`ulimit -v`, a little above what is in use, and then a model to load."""
    import resource

    import torch

    base = made(folder)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
    load(base)
    torch.zeros(2**28)


def meta_offload(folder: Path) -> None:
    model = load(made(folder), device_map={"": "disk"}, offload_folder=str(folder / "offload"))
    model.to("cpu")  # type: ignore[attr-defined]


def meta_copy(_folder: Path) -> None:
    import torch

    torch.nn.Linear(2, 2, device="meta").to("cpu")


def torchvision(_folder: Path) -> None:
    importlib.import_module("torchvision")


def pandas(_folder: Path) -> None:
    importlib.import_module("pandas")


def import_peft(_folder: Path) -> None:
    import peft  # noqa: F401


def rope(folder: Path) -> None:
    scaling = {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
               "original_max_position_embeddings": 64, "rope_type": "llama3"}  # fmt: skip
    load(made(folder, rope_scaling=scaling))


def unknown_type(folder: Path) -> None:
    load(made(folder, model_type="qwen9"))


def removed_type(folder: Path) -> None:
    load(made(folder, model_type="jukebox"))


def removed_name(folder: Path) -> None:
    """Code that came with a model, and imports what transformers no longer has."""
    code = "from transformers.models.llama.modeling_llama import LlamaFlashAttention2, LlamaConfig\n"
    auto = {"AutoConfig": "configuration_x.XConfig"}
    base = made(folder, model_type="x", auto_map=auto)
    (base / "configuration_x.py").write_text(code + "class XConfig(LlamaConfig):\n    model_type = 'x'\n")
    load(base, trust_remote_code=True)


def remote_code(folder: Path) -> None:
    base = made(folder, model_type="x", auto_map={"AutoConfig": "configuration_x.XConfig"})
    (base / "configuration_x.py").write_text("from transformers import LlamaConfig as XConfig\n")
    load(base, trust_remote_code=False)


def remote_code_missing(folder: Path) -> None:
    load(made(folder, model_type="x", auto_map={"AutoConfig": "configuration_x.XConfig"}), trust_remote_code=True)


def no_base(folder: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    (folder / "adapter").mkdir()
    document = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "/models/gone/llama"}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(document))
    AutoPeftModelForCausalLM.from_pretrained(folder / "adapter")


def pair_merges(folder: Path) -> None:
    """A tokenizer.json with its merges as pairs, as tokenizers 0.20 and newer write them."""
    from tokenizers import Tokenizer, models, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.train_from_iterator(["aba abab ab"], trainers.BpeTrainer(vocab_size=12, special_tokens=[]))
    document = json.loads(tokenizer.to_str())
    document["model"]["merges"] = [
        one.split(" ") if isinstance(one, str) else one for one in document["model"]["merges"]
    ]
    (folder / "tokenizer.json").write_text(json.dumps(document))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    import transformers

    transformers.AutoTokenizer.from_pretrained(folder)


def generation(folder: Path) -> None:
    model = load(made(folder))
    model.generation_config.temperature = 0.5  # type: ignore[attr-defined]
    model.save_pretrained(folder / "saved")  # type: ignore[attr-defined]


def fork(name: str, folder: Path) -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        (folder / name).mkdir()
        globals()[name](folder / name)
        sys.stdout.write("it did not fail\n")
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001  what it prints is the log
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    names = sys.argv[2:]
    if names[0].startswith("+"):
        import torch
        import transformers  # noqa: F401

        torch.set_num_threads(1)
    for one in names:
        fork(one.lstrip("+"), Path(sys.argv[1]))
