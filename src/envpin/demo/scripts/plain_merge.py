"""What people type first: load the base, load the adapter, merge.

usage: plain_merge.py BASE ADAPTER
"""

import sys

from peft import PeftModel
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(sys.argv[1], torch_dtype="auto")
model = PeftModel.from_pretrained(model, sys.argv[2])
model.merge_and_unload()
