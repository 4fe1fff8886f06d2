"""Runs inside the environment of a program that merges: its own function merges tiny adapters right, and wrong in many
ways, each held against base and adapter by the verb `prove`. Started by prove.py; Python 3.8 syntax.

    python mergers_inside.py WORKERS_FOLDER SCRATCH_FOLDER RESULT.jsonl PROGRAM FOLDER [MODEL/KIND/DTYPE,…]

`axolotl`: `merge_lora_sharded_efficient`, which its `merge-lora` calls, from the folder of an unpacked wheel; the rest
of the package, which imports all that training needs, is left out. `llamafactory`: `export_model`, which its command
`export` calls.
"""

import importlib
import os
import sys
import types

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import faults_inside as faults

# model, kind of adapter, tied tables
KINDS = (
    ("llama", "lora", False), ("llama", "rslora", False), ("llama", "patterns", False), ("llama", "dora", False),
    ("llama", "lora", True), ("llama", "embedding", False), ("llama", "save-both", False),
    ("qwen2", "lora-bias", False),
)  # fmt: skip


def axolotl(folder):
    for name in ("axolotl", "axolotl.cli", "axolotl.cli.utils"):
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(folder, *name.split("."))]
        sys.modules[name] = package
    sys.path.append(folder)
    merge = importlib.import_module("axolotl.cli.utils.lora_merge").merge_lora_sharded_efficient
    return lambda base, adapter, out: merge(base_model_path=base, lora_adapter_path=adapter, output_path=out)


def llamafactory(_folder):
    from llamafactory.train.tuner import export_model

    def merge(base, adapter, out):
        if not os.path.exists(os.path.join(base, "tokenizer.json")):
            tokenizer().save_pretrained(base)
        words = {"model_name_or_path": base, "adapter_name_or_path": adapter, "export_dir": out, "template": "default",
                 "finetuning_type": "lora", "export_device": "cpu"}  # fmt: skip
        export_model(words)

    return merge


def tokenizer():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    unknown, end = "<unk>", "</s>"
    table = Tokenizer(models.WordLevel({unknown: 0, "<s>": 1, end: 2, "a": 3}, unk_token=unknown))
    return PreTrainedTokenizerFast(tokenizer_object=table, unk_token=unknown, eos_token=end)


class ByProgram(faults.Case):
    """A case whose merges the program makes, wherever no more than base and adapter is asked for."""

    merger = None

    def by_peft(self, name, base=None, adapter=None, **options):
        if options:
            return super().by_peft(name, base=base, adapter=adapter, **options)
        out = self.path(name)
        os.makedirs(out)
        with torch.no_grad():
            ByProgram.merger(base or self.base, adapter or self.adapter, out)
        return out


def healthy(case):
    yield "by the program", lambda: case.merged
    yield "by the program, again", lambda: case.by_peft("other")
    if not case.tied:
        yield "by the program, read and saved once more", lambda: case.edited(dict)


def main(argv):
    workers, scratch, out, program, folder = argv[:5]
    ByProgram.merger = staticmethod({"axolotl": axolotl, "llamafactory": llamafactory}[program](folder))
    faults.KINDS, faults.Case, faults.healthy = KINDS, ByProgram, healthy
    faults.DTYPES = {name: faults.DTYPES[name] for name in ("bf16", "fp16")}
    faults.ask = lambda *_asked: {"note": "not asked"}
    faults.main([workers, scratch, out, *argv[5:]])


if __name__ == "__main__":
    with torch.no_grad():
        main(sys.argv[1:])
