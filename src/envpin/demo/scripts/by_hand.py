"""Merge by hand, knowing everything (how many rows the adapter has), and compare with a merged folder bit for bit.

usage: by_hand.py BASE ADAPTER ROWS MERGED
"""

import glob
import json
import os
import sys

import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file


def main(base: str, adapter: str, rows: str, merged: str) -> int:
    with open(os.path.join(base, "config.json"), encoding="utf-8") as stream:
        architecture = json.load(stream)["architectures"][0]
    model = getattr(transformers, architecture).from_pretrained(base, torch_dtype="auto")
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
    total = len(set(mine) | set(theirs))
    print("%d of %d tensors equal bit for bit" % (total - len(different), total))
    for name in different:
        print("differs: " + name)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
