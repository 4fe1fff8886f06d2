"""Runs inside one environment: what the merge of a head of several layers leaves, for each method. Python 3.8 syntax.

python heads_inside.py WORKERS_FOLDER RESULT.json METHOD ...
"""

import json
import os
import sys
from typing import List, Tuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peft
import torch
import transformers
from load_inside import load_workers  # type: ignore[import-not-found]

METHODS = {
    "vera": lambda **more: peft.VeraConfig(r=8, target_modules=["value"], **more),
    "ia3": lambda **more: peft.IA3Config(target_modules=["value"], feedforward_modules=[], **more),
    "fourierft": lambda **more: peft.FourierFTConfig(n_frequency=20, target_modules=["value"], **more),
    "lntuning": lambda **more: peft.LNTuningConfig(target_modules=["LayerNorm"], **more),
    "lora": lambda **more: peft.LoraConfig(r=4, target_modules=["value"], **more),
}


def measured(name: str) -> Tuple[float, List[str]]:
    """How far the merged model is from the trained one, and which of its parameters are still a wrapper's."""
    from envpin_worker.peft_engine import reproducible

    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    config = transformers.RobertaConfig(num_attention_heads=2, num_labels=3, **sizes)
    model = transformers.RobertaForSequenceClassification(config)
    model = peft.get_peft_model(model, METHODS[name](task_type="SEQ_CLS"))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        trained = model.eval()(ids).logits
        merged = reproducible.merge(model)
        off = float((merged.eval()(ids).logits - trained).abs().max())
    return off, [one for one in merged.state_dict() if "modules_to_save" in one or "original_module" in one]


def main(workers: str, result: str, *names: str) -> None:
    load_workers(workers)
    with open(result, "w", encoding="utf-8") as stream:
        json.dump({name: measured(name) for name in names}, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
