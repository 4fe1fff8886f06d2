"""Errors that only their frames explain: whose code called what it did not find there. Pure.

A name, a member or an argument that is not there is a mistake of the script, unless a library of the stack made the
call: then that library and what it calls are most likely of different releases, whichever two they are. No facts about
releases are asked, so the words say no more than that.
"""

from __future__ import annotations

import re

from envpin.core.command_text import command_text
from envpin.diagnose.logs.arguments import Explained

FRAME_ANCHORS = (
    "TypeError: ",
    "AttributeError: ",
    "ImportError: cannot import name '",
    " values to unpack",
    "NameError: ",
)
# Of the lines before the error: a traceback has up to four lines for each of its last frames.
FRAMES_NEAR = 14
_LIBRARIES = (
    "transformers|peft|trl|accelerate|datasets|deepspeed|bitsandbytes|unsloth|unsloth_zoo|unsloth_compiled_cache|vllm|"
    "vllm_ascend|sglang|lmdeploy|llamafactory|axolotl|swift|verl|openrlhf|optimum|gptqmodel|auto_gptq|awq|diffusers|"
    "sentence_transformers|huggingface_hub|tokenizers|liger_kernel|flash_attn|xformers|torchtune|mlx_lm|mlx_vlm|"
    "autotrain|llmcompressor|compressed_tensors|mergekit|setfit|transformers_modules|torchao|triton|fla|llava|"
    "qwen_vl_utils|lightning|pytorch_lightning|evaluate|modelscope|gguf|open_r1|lm_eval|outlines|xgrammar"
)
# A file of an installed library or of its checkout; its examples and scripts are someone's own code.
_FRAME = re.compile(
    rf"""(?:File "?|^\s*|[\s"])(?=(?:[^\s"]*[/\\])?({_LIBRARIES})[/\\])[^\s"]*\.py(?:"?, line |:)\d+(?:, in (\w+))?""",
    re.MULTILINE,
)
_OWN_CODE = re.compile(r"[/\\](?:examples?|scripts|tests?|notebooks?|recipes)[/\\](?!.*(?:site|dist)-packages)")
_BUILTIN = (
    "NoneType|str|list|dict|int|float|tuple|bool|bytes|set|function|method|generator|module|type|Tensor|Parameter|"
    "ndarray|property|builtin_function_or_method|Namespace|DictConfig|DataFrame|Series|Response|Dataset|DatasetDict"
)
_FORMS = (
    re.compile(r"TypeError: (?P<what>[\w.<>]+\(\)) got an unexpected keyword argument '(?P<name>\w+)'"),
    re.compile(r"TypeError: (?P<what>[\w.<>]+\(\)) missing \d+ required positional arguments?: (?P<name>.{1,80})"),
    re.compile(
        r"TypeError: (?P<what>[\w.<>]+\(\)) takes (?:from )?(?P<name>[\w ]{1,20}) positional arguments? but \d+"
    ),
    re.compile(r"TypeError: (?P<what>[\w.<>]+\(\)) got multiple values for (?:keyword )?argument '(?P<name>\w+)'"),
    re.compile(
        rf"AttributeError: '?(?P<what>(?!(?:{_BUILTIN})\b)[A-Za-z_]\w*)'?(?: object)? has no attribute "
        r"[`'](?P<name>\w+)"
    ),
    re.compile(r"AttributeError: (?P<name>_\w+)(?P<what>)\s*$"),
    re.compile(r"ValueError: (?P<what>not enough|too many) values to unpack (?P<name>\(expected [^)]*\))"),
    re.compile(r"NameError: name '(?P<name>\w+)' is not defined(?P<what>)\s*$"),
    re.compile(r"AttributeError: type object '(?P<what>\w+)' has no attribute '(?P<name>\w+)'"),
    re.compile(r"AttributeError: module '(?P<what>[\w.]+)' has no attribute '(?P<name>\w+)'"),
    re.compile(
        r"ImportError: cannot import name '(?P<name>\w+)' from (?:partially initialized module )?'(?P<what>[\w.]+)'"
    ),
)
_OF_TRANSFORMERS = re.compile(
    r"(?:For[A-Z]\w*|PreTrainedModel|\wModel|Config|Tokenizer(?:Fast)?|Processor(?:Fast)?|Cache|Attention|DecoderLayer|"
    r"RotaryEmbedding|TrainingArguments|^Trainer|Mixin)$|^transformers\b|prepare_inputs_for_generation|_update_causal_mask"
)
_STATED = re.compile(
    r"(?i)\b(transformers|trl|peft|accelerate|vllm|unsloth|torch|deepspeed|ms[-_]swift|llamafactory|datasets)"
    r"`?(?: version)?(?:==|: ?| {2,}| )v?(\d+\.\d+(?:\.\w+)*)"
)
_TRAINING = "run with the versions of the training run: envpin run ADAPTER -- CMD"


def explain_frame(line: str, before: str) -> Explained | None:
    """What a line says together with the lines before it; None where no library of the stack made the call."""
    found = next((one for form in _FORMS if (one := form.search(line)) is not None), None)
    if found is None:
        return None
    frames = [one[1] for one in _FRAME.finditer(before) if one[2] != "__getattr__" and _OWN_CODE.search(one[0]) is None]
    if not frames:
        return None
    caller, what, name = frames[-1], found["what"], found["name"]
    owner = what.partition(".")[0].removesuffix("()")
    of_transformers = _OF_TRANSFORMERS.search(owner) is not None or caller == "transformers"
    code = "transformers-api-changed" if of_transformers and not owner.startswith("Unsloth") else "library-api-changed"
    stated = {package.lower(): release for package, release in _STATED.findall(before)}
    shown = ", ".join(f"{package} {release}" for package, release in sorted(stated.items()))
    says = f"{caller} and `{what or name}`, which it uses with `{name}`, are most likely of different releases"
    if not what or " " in what:
        says = f"{caller} stopped in its own code (`{name}`), most likely as it and what it builds on do not fit"
    newest = command_text("python", "-m", "pip", "install", "-U", caller.replace("_", "-"))
    fix = (f"install the release of each that the other one asks for: python -m pip check, {newest}", _TRAINING)
    return Explained(code, says + (f"; this log names {shown}" if shown else ""), fix)
