"""Methods that a model has only where another library's loader made it, asked of a class of transformers itself. Pure.

`quantize` and `save_quantized` are of AutoAWQ (models/base.py, 0.2.9) and of GPTQModel and AutoGPTQ; `encode` of
sentence-transformers and of the code of embedding models; `chat` of the code of a model's repository; `transcribe` of
openai-whisper.
"""

from __future__ import annotations

import re

from envpin.diagnose.logs.facts.model_types import of_a_class
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import STANDARD, frames_of

_MEMBER = re.compile(r"'(?P<owner>[A-Z]\w{2,80})' object has no attribute '(?P<name>\w{1,80})'")
_FIELD = re.compile(r"'(?P<owner>[A-Z]\w{2,60}Config)' object has no attribute '(?P<name>mm_\w{1,60})'")
_READS_VISION = re.compile(r"(?i)llava|vision|multimodal|mm_utils")
_MODEL = re.compile(r"(?:For[A-Z]\w+|LMHeadModel|Model)$")
_REMOTE = "take the model's own repository with trust_remote_code=True, where that has it and you trust it"
_AWQ = "load it by that library: AutoAWQForCausalLM.from_pretrained(MODEL), or GPTQModel.load(MODEL, config)"
_OF_QUANTIZERS = "the models that AutoAWQ, GPTQModel or AutoGPTQ load"
_WHOSE: dict[str, tuple[str, tuple[str, ...]]] = {
    "quantize": (_OF_QUANTIZERS, (
        _AWQ, "or let transformers quantize as it loads: from_pretrained(MODEL, quantization_config=…)",
    )),
    "save_quantized": (_OF_QUANTIZERS, (_AWQ, "of a model of transformers: save_pretrained(OUT)")),
    "encode": ("sentence-transformers or of code that comes with the model", (
        "load it with SentenceTransformer(MODEL)", _REMOTE,
    )),
    "chat": ("code that comes with the model", (_REMOTE, "or write it with apply_chat_template and generate")),
    "transcribe": ("openai-whisper", (
        "load it by that: whisper.load_model(NAME)", 'or pipeline("automatic-speech-recognition", model=MODEL)',
    )),
}  # fmt: skip


def of_its_own_inputs(said: str, what: str, name: str, path: str) -> Explained | None:
    """A model whose own code takes its inputs in another form than trainers give them."""
    owner = what.partition(".")[0]
    if not what.endswith(".forward()") or "missing" not in said or "trainer" not in path:
        return None
    if of_a_class(owner) is not None:
        return None
    says = (
        f"the `forward` of `{owner}`, code that comes with the model, wants {name}, and the trainer feeds "
        "the columns of the rows (input_ids, labels, …): the two do not go together"
    )
    return Explained("inputs-do-not-fit", says, (
        "train it by the script of its own repository, whose trainer makes these inputs",
        "or give a Trainer whose compute_loss calls the model as its code wants it, and remove_unused_columns=False",
    ))  # fmt: skip


def of_a_made_config(line: str, before: str) -> Explained | None:
    """A field that LLaVA's training writes into the config, asked of one of a model that it did not make."""
    found = _FIELD.search(line) if "AttributeError" in line else None
    if found is None or _READS_VISION.search(before) is None:
        return None
    says = (
        f"the code reads `{found['name']}` of the config, which only models have that LLaVA's training made: "
        f"this one is a `{found['owner']}` of a model for text alone"
    )
    return Explained("model-of-another-kind", says, (
        "give it a checkpoint of LLaVA, or of a repository made from it: its config.json has `mm_vision_tower`",
        "to begin from a model for text: give the options of the first stage (--vision_tower, --mm_projector_type)",
    ))  # fmt: skip


def of_another_loader(line: str, before: str) -> Explained | None:
    """None where no class of transformers was asked, or a library asks."""
    found = _MEMBER.search(line) if "AttributeError" in line else None
    whose = None if found is None else _WHOSE.get(found["name"])
    if found is None or whose is None or _MODEL.search(found["owner"]) is None or of_a_class(found["owner"]) is None:
        return None
    asks = [one for one in frames_of(before) if one.library != "torch" and STANDARD.search(one.path) is None]
    if not asks or asks[-1].library is not None:
        return None
    says = f"`{found['name']}` is a method of {whose[0]}, and the model is a `{found['owner']}` of transformers itself"
    return Explained("model-of-another-kind", f"{says}: it was loaded by another class than the script wants", whose[1])
