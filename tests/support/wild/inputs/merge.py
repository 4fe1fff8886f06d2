"""peft's own merge in the environment that trained, to compare with. usage: merge.py ADAPTER BASE OUT"""

import sys

from peft import PeftModel
from transformers import AutoModelForCausalLM


def main(adapter: str, base: str, out: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, torch_dtype="auto")
    PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
