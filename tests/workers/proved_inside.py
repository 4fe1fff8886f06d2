"""Runs inside one environment: peft's own merges of adapters of several kinds, right and spoilt, as the verb `prove`
judges them, in one file of JSON. Python 3.8 syntax.

    python proved_inside.py WORKERS_FOLDER SCRATCH_FOLDER RESULT.json
"""

import json
import os
import sys
from typing import Any, Callable, Dict, List

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from load_inside import load_workers  # type: ignore[import-not-found]

_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 96,
}


def llama(tied: bool = False) -> Any:
    config = transformers.LlamaConfig(**_SMALL, num_key_value_heads=2, tie_word_embeddings=tied)
    return transformers.LlamaForCausalLM(config)


def bert() -> Any:
    return transformers.BertForMaskedLM(transformers.BertConfig(**_SMALL))


def bart() -> Any:
    sides = {side + "_" + name: size for side in ("encoder", "decoder")
             for name, size in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 48))}  # fmt: skip
    return transformers.BartForConditionalGeneration(transformers.BartConfig(d_model=32, vocab_size=96, **sides))


def lora(**more: Any) -> Any:
    return peft.LoraConfig(**{"r": 2, "target_modules": ["q_proj", "v_proj"], **more})


# The base, the adapter, and the rows that training grew the vocabulary to.
CASES: Dict[str, Any] = {
    "adalora": (llama, lambda: peft.AdaLoraConfig(init_r=2, total_step=9, target_modules=["q_proj"]), None),
    "boft": (llama, lambda: peft.BOFTConfig(boft_block_size=4, target_modules=["q_proj"]), None),
    "vera": (llama, lambda: peft.VeraConfig(r=2, target_modules=["q_proj"]), None),
    "pissa-head": (llama, lambda: lora(init_lora_weights="pissa", target_modules=["q_proj", "lm_head"]), None),
    "pissa-dora": (llama, lambda: lora(init_lora_weights="pissa", use_dora=True), None),
    "caret": (llama, lambda: lora(alpha_pattern={"^model.layers.1": 64, "^model.layers.0.self_attn.q_proj": 3}), None),
    "bert-biases": (bert, lambda: lora(bias="all", target_modules=["query"]), None),
    "bart-grown": (bart, lambda: lora(target_modules=["q_proj"]), 99),
    "tokens-grown": (lambda: llama(tied=True), lambda: lora(trainable_token_indices=[96, 98]), 99),
}


def main(workers: str, scratch: str, result: str) -> None:
    load_workers(workers)
    transformers.logging.set_verbosity_error()
    said = {}
    for name, (base, config, rows) in CASES.items():
        torch.manual_seed(5)
        folder = os.path.join(scratch, name)
        said[name] = judged(folder, base(), config(), rows)
    with open(result, "w", encoding="utf-8") as stream:
        json.dump(said, stream)


def judged(folder: str, model: Any, config: Any, rows: Any) -> Dict[str, List[int]]:
    """How many tensors are wrong, and how many were not compared, of the right merge and of spoilt ones."""
    base, adapter, merged = (os.path.join(folder, one) for one in ("base", "adapter", "merged"))
    model.save_pretrained(base)

    def opened() -> Any:
        found = type(model).from_pretrained(base)
        if rows is not None:
            found.resize_token_embeddings(rows)
        return found

    trained = peft.get_peft_model(opened(), config)
    for parameter in trained.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    trained.save_pretrained(adapter)
    peft.PeftModel.from_pretrained(opened(), adapter).merge_and_unload().save_pretrained(merged)
    found = {"right": counts(base, adapter, merged, rows)}
    old, new = (load_file(os.path.join(one, "model.safetensors")) for one in (base, merged))
    for name, spoil in SPOILT.items():
        spoilt = {key: spoil(old.get(key), tensor) for key, tensor in new.items()}
        save_file(spoilt, os.path.join(merged, "model.safetensors"), metadata={"format": "pt"})
        found[name] = counts(base, adapter, merged, rows)
    return found


def _scaled(factor: float) -> Callable[[Any, torch.Tensor], torch.Tensor]:
    def spoil(old: Any, new: torch.Tensor) -> torch.Tensor:
        return new if old is None or old.shape != new.shape else old + factor * (new - old)

    return spoil


SPOILT = {"not applied": _scaled(0.0), "one percent more": _scaled(1.01)}


def counts(base: str, adapter: str, merged: str, rows: Any) -> List[int]:
    from envpin_worker import requests
    from envpin_worker.protocol import Events
    from envpin_worker.prove import prove

    def tied(folder: str) -> bool:
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as stream:
            return bool(json.load(stream).get("tie_word_embeddings", True))

    model, brought = ("model.safetensors",), ("adapter_model.safetensors",)
    asked = requests.ProveRequest(
        requests.WeightFiles(base, model), requests.WeightFiles(adapter, brought), requests.WeightFiles(merged, model),
        base_is_tied=tied(base), merged_is_tied=tied(merged),
        embedding=requests.EmbeddingFit("grow", rows) if rows else requests.EmbeddingFit(),
    )  # fmt: skip
    found = prove.run(asked, Events(os.open(os.devnull, os.O_WRONLY))).counts
    return [found.wrong, found.not_compared]


if __name__ == "__main__":
    main(*sys.argv[1:])
