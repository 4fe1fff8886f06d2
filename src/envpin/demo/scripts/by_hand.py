"""Merge by hand, knowing everything (how many rows the adapter has), and compare with a merged folder bit for bit.

usage: by_hand.py BASE ADAPTER ROWS MERGED
"""

import glob
import os
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def main(base: str, adapter: str, rows: str, merged: str) -> int:
    model = AutoModelForCausalLM.from_pretrained(base, torch_dtype="auto")
    model.resize_token_embeddings(int(rows))
    model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    mine = model.state_dict()
    theirs = {}
    for path in sorted(glob.glob(os.path.join(merged, "*.safetensors"))):
        theirs.update(load_file(path))
    different = [
        name
        for name in sorted(set(mine) | set(theirs))
        if name not in mine
        or name not in theirs
        or mine[name].dtype != theirs[name].dtype
        or not torch.equal(
            mine[name].contiguous().reshape(-1).view(torch.uint8),
            theirs[name].contiguous().reshape(-1).view(torch.uint8),
        )
    ]
    for _name in different:
        pass
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
