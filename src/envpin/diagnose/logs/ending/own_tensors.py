"""Tensors that the code of a converter or trainer looks up by their names, and does not find. Pure.

Such scripts take the names of one kind of checkpoint for granted. The key that is missing is either what the script
wants (its text stands in the line of code) or what the checkpoint holds and the script's own table of names does not.
"""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.core.sizes import counted
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import code_lines, is_own

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_NAME = re.compile(
    r"^[\"']?(?P<name>(?:[\w{}%-]{1,60}\.){1,14}(?:weight|bias|gamma|beta|scale|inv_freq|masked_bias|SCB|absmax|"
    r"quant_map|qweight|qzeros|scales|g_idx|embedding_table|in_proj_weight|in_proj_bias))[\"']?$"
)
_NOT_IN_FILE = re.compile(r"^File does not contain tensor (?P<name>\S{1,200})")
# Programs of which a checkout or a package holds the converter.
_CONVERTERS = frozenset({"gguf", "litgpt", "lit_gpt", "megatron", "mcore_bridge", "llava", "fla"})
_LITERAL = re.compile(r"[\"']([^\"'\n]{1,200})[\"']")
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?|transformer)\.(?P<n>\d{1,3})\.")
_TABLE = re.compile(
    r"(?i)(?:map|mapping|table|rename\w*|convert\w*|translat\w*|names?|replace\w*|keys?)\s*\[[^\[\]]*\]"
)
_LOOK = ("see what it holds: print(list(state_dict)[:20])",)
# Whose names they are; the first that fits.
_FAMILIES = tuple((name, re.compile(pattern)) for name, pattern in (
    ("a peft adapter", r"^base_model\.model\.|lora_[AB]\b"),
    ("Megatron-LM", r"^language_model\.e|linear_qkv|self_attention\.linear_|^(?:embedding\.)?word_emb|mlp\.linear_fc"),
    ("UER-py and TencentPretrain", r"^(?:embedding\.word|encoder\.transformer|target\.)"),
    ("Meta's own Llama files", r"^tok_embeddings\.|attention\.w[qkvo]\.|feed_forward\.w[123]\."),
    ("fairseq", r"sentence_encoder\.|^encoder\.layers\.\d+\.self_attn\.in_proj"),
    ("lit-gpt", r"^transformer\.h\.[\d{}]+\.(?:norm_1|norm_2|attn\.attn|attn\.qkv|mlp\.fc)"),
    ("DistilBERT", r"^distilbert\."), ("RoBERTa", r"^roberta\."), ("ALBERT", r"^albert\."),
    ("ELECTRA", r"^electra\."), ("DeBERTa", r"^deberta\."), ("BERT", r"^bert\.|^cls\."),
    ("GPT-NeoX", r"^gpt_neox\."), ("Bloom, Falcon or ChatGLM", r"query_key_value"),
    ("GPT-2", r"^(?:transformer\.)?(?:wte|wpe|h\.[\d{}]+|ln_f)\."),
    ("T5", r"^shared\.|layer\.\d+\.(?:SelfAttention|EncDecAttention|DenseReluDense)"),
    ("a vision-language model", r"vision_tower|visual\.|^(?:model\.)?language_model\."),
    ("a mixture of experts", r"experts\.|block_sparse_moe|mlp\.gate\.weight"),
    ("Baichuan", r"W_pack"), ("Phi-3", r"self_attn\.qkv_proj|gate_up_proj"),
    ("Qwen3, OLMo 2 or Gemma 3", r"self_attn\.[qk]_norm"), ("Gemma 2 or 3", r"(?:pre|post)_feedforward_layernorm"),
    ("Qwen2", r"^model\.layers\.[\d{}]+\.self_attn\.[qkv]_proj\.bias"), ("OPT", r"^(?:model\.)?decoder\."),
    ("Llama, Mistral and their like", r"^model\.(?:layers|embed_tokens|norm)"),
))  # fmt: skip
# Files of a program's own, and not of transformers.
_OWN_FORMATS = frozenset({"Megatron-LM", "UER-py and TencentPretrain", "Meta's own Llama files", "fairseq", "lit-gpt"})
_PAIRS = re.compile(r"pooler\.|seq_relationship")
_HEADS = (
    (re.compile(r"^cls\.predictions|lm_head\.(?:dense|layer_norm|bias)|^generator_lm_head|vocab_transform"),
     "the head that guesses masked words", "save one with it: AutoModelForMaskedLM"),
    (re.compile(r"classifier\.|^score\.|^classification_head"), "a head of classes", "take the fine-tuned classifier"),
    (re.compile(r"qa_outputs"), "a head of answers", "take one fine-tuned for questions and answers"),
)  # fmt: skip
_TIED = re.compile(r"(?:^|\.)(?:lm_head|output|embed_out)\.weight$")
_NO_FILE = re.compile(
    r"No such file or directory: '[^'\n]{0,300}?"
    r"(?P<name>pytorch_model[\w.-]{0,40}\.bin|(?:pytorch_)?model\.\w+\.index\.json)'"
)
_OF_AN_INDEX = re.compile(r"(?i)\b(?:map|index)\b")
_NO_INDEX = re.compile(r"(?P<name>\S{1,300}\.index\.json) (?:was )?not found")
_QUANTIZED = re.compile(r"\.(?:SCB|absmax|quant_map|quant_state\S*|qweight|qzeros|scales|g_idx|weight_scale)$")
# Parts of adapters that only one method has, as peft and RWKV's trainers name them.
_OF_A_METHOD = (
    ("DoRA", re.compile(r"lora_M$|lora_magnitude(?:_vector)?\b")), ("PiSSA", re.compile(r"pissa")),
    ("Bone or MiSS", re.compile(r"\.(?:bone|disha|miss)(?:_\w+)?\b")), ("LoHa", re.compile(r"hada_w\d_[ab]\b")),
    ("LoKr", re.compile(r"lokr_w\d(?:_[ab])?\b")), ("IA3", re.compile(r"ia3_l\b")), ("OFT", re.compile(r"oft_[rR]\b")),
    ("VeRA", re.compile(r"vera_lambda_[bd]\b")),
)  # fmt: skip
_INVALID = re.compile(r"^shape '\[(?P<shape>[\d, -]{1,80})\]' is invalid for input of size (?P<size>\d{1,15})")
_OF_WEIGHTS = re.compile(r"(?i)permute|qkv|split_heads|convert")


def of_own_tensor(exception: str, message: str, before: str, frames: list[Frame]) -> Explained | None:
    """What a converter's own line says of a checkpoint; None where a library's code stopped, or no tensor is named."""
    last = frames[-1]
    if not (is_own(last) or last.library in _CONVERTERS or "convert" in last.path.rpartition("/")[2]):
        return None
    code = "\n".join(code_lines(before, within=14))
    return _of_an_index(exception, message, before) or _of_a_tensor(exception, message, code, last)


def _of_a_tensor(exception: str, message: str, code: str, last: Frame) -> Explained | None:
    if exception == "RuntimeError" and (found := _INVALID.search(message)) is not None:
        return _of_another_size(found, last, code)
    if exception == "SafetensorError" and (lost := _NOT_IN_FILE.search(message)) is not None:
        return _wanted(lost["name"].rstrip("."))
    if exception == "KeyError" and (other := _of_a_method(message.strip().strip("'"))) is not None:
        return other
    key = _NAME.match(message.strip()) if exception == "KeyError" else None
    if key is None or "lora_" in key["name"]:
        return None
    return _wanted(key["name"]) if _is_written(key["name"], code) else _given(key["name"], code)


def _of_a_method(name: str) -> Explained | None:
    """A part that only one kind of adapter has, looked up in a file that was trained as another."""
    method = next((method for method, part in _OF_A_METHOD if part.search(name) is not None), None)
    if method is None or "." not in name:
        return None
    says = (
        f"the script looks for `{name}`, which only an adapter of {method} has, and the file has none: it was trained "
        "by another method than the script was told, or takes by default"
    )
    return Explained("settings-refused", says, (
        f"give the script the method of the training, not {method}: its option for the type (--type, --peft)", *_LOOK,
    ))  # fmt: skip


def _is_written(key: str, code: str) -> bool:
    """Whether parts of a key stand in the lines of code as text."""
    parts = (part for one in _LITERAL.findall(code) for part in re.split(r"\{[^{}]*\}|%[sd]", one))
    return any(len(one) > 3 and "." in one and one in key for one in parts)


def family_of(name: str) -> str | None:
    """Whose checkpoints have a tensor of that name."""
    return next((family for family, pattern in _FAMILIES if pattern.search(name) is not None), None)


def _wanted(name: str) -> Explained:
    family, layer = family_of(name), _LAYER.search(name)
    if layer is not None and int(layer["n"]) > 0:
        return _fewer_layers(name, int(layer["n"]))
    if _PAIRS.search(name) is not None:
        says = (
            f"the script takes `{name}`, which only models trained on pairs of sentences have: it was told, or takes "
            "by default, to convert such a model, and the checkpoint is of another"
        )
        return Explained("settings-refused", says, (
            "give the script's option for the kind of model (--type, --target): one for masked words alone", *_LOOK,
        ))  # fmt: skip
    head = next((one for one in _HEADS if one[0].search(name) is not None), None)
    if head is not None:
        says = f"the script takes `{name}`, of {head[1]}, and the checkpoint has no such head: it is of another task"
        return Explained("model-of-another-kind", says, (head[2], *_LOOK))
    if _TIED.search(name) is not None:
        return _tied(name)
    if family in _OWN_FORMATS:
        says = f"the script takes `{name}`, a name of {family}, and the checkpoint does not have it: another format"
        return Explained("foreign-format", says, (
            "give it a file of that program, or the converter for what you have (of transformers, most often)", *_LOOK,
        ))  # fmt: skip
    return _other_names(name, family)


def _fewer_layers(name: str, layer: int) -> Explained:
    says = (
        f"the script takes `{name}`, and the checkpoint lacks it: most likely it has {counted(layer, 'layer')}, "
        "and the script was told, or takes by default, more (or a file of a checkpoint in parts is not there)"
    )
    return Explained("settings-refused", says, (
        "give the number of layers, or the size, of this model, as `num_hidden_layers` of its config.json says", *_LOOK,
    ))  # fmt: skip


def _tied(name: str) -> Explained:
    says = (
        f"the script takes `{name}`, which the checkpoint does not have: its head is the embedding (tied), so that it "
        "is not saved, or it was saved without a head"
    )
    untie = "where config.json says tie_word_embeddings, give the script the embedding's tensor for it"
    return Explained("serving-limit", says, (untie, *_LOOK))


def _other_names(name: str, family: str | None) -> Explained:
    of_whom = f", a name of {family}" if family else ""
    says = f"the script takes `{name}`{of_whom}, which the checkpoint does not have"
    prefix = name.partition(".")[0]
    if family == "GPT-2" and prefix == "transformer":
        says = f"{says}: its names lack `transformer.`, as in the file of openai-community/gpt2, or it is another model"
        load = "save it as the script wants it: GPT2LMHeadModel.from_pretrained(MODEL).save_pretrained(OUT)"
        return Explained("serving-limit", says, (f"{load}, as pytorch_model.bin", *_LOOK))
    says = f"{says}: it is of another model, or its names lack `{prefix}.` in front (saved without its head)"
    return Explained("model-of-another-kind", says, (
        f"give it a checkpoint {'of ' + family if family else 'of the model that it was written for'}", *_LOOK,
    ))  # fmt: skip


def _given(name: str, code: str) -> Explained:
    family = family_of(name)
    if family == "a peft adapter":
        says = f"the checkpoint names its tensors as peft does (`{name}`), and the script takes other names"
        merge = command_text("envpin", "replay", "merge", "ADAPTER", "-o", "OUT")
        return Explained("foreign-format", says, (
            f"merge the adapter by peft instead: {merge}", "or give the script a file that its own program wrote",
        ))  # fmt: skip
    if (told := _wrapped(name)) is not None:
        return told
    if _TABLE.search(code) is not None:
        of_whom = f" (a name of {family})" if family else ""
        says = f"the script's own table of names has none for `{name}`{of_whom}, which the checkpoint holds"
        return Explained("serving-limit", f"{says}: it was written for another model", (
            "take the converter for this architecture, or a newer version of the program", *_LOOK,
        ))  # fmt: skip
    says = (
        f"the script looks for `{name}`, a name that it has from one model or file, in another that has none: "
        "the two are of other kinds or sizes"
    )
    return Explained("model-of-another-kind", says, (
        "take two of one architecture and size: compare their config.json", *_LOOK,
    ))  # fmt: skip


def _wrapped(name: str) -> Explained | None:
    """Names and tensors that show how the model was held as it was saved."""
    if "_orig_mod." in name:
        return Explained("compile-prefix", f"`{name}` was saved from a compiled model, unknown to the script", (
            "take the prefix off: {k.replace('_orig_mod.', ''): v for k, v in state_dict.items()}",
        ))  # fmt: skip
    if name.startswith("module.") or "_fsdp_wrapped_module." in name:
        return Explained("fsdp-prefix", f"`{name}` was saved from a wrapped model, which the script does not expect", (
            "take the prefix off: {k.removeprefix('module.'): v for k, v in state_dict.items()}",
        ))  # fmt: skip
    if _QUANTIZED.search(name) is None:
        return None
    says = f"`{name}` is of weights that are stored quantized, and the script takes 16-bit ones"
    return Explained("quantized-base-packed", says, ("give it the model as it was before it was quantized",))


def _of_an_index(exception: str, message: str, before: str) -> Explained | None:
    """A converter that reads checkpoints of one form alone: in parts with an index, or as pytorch_model.bin."""
    found = _NO_FILE.search(message) if exception == "FileNotFoundError" else None
    if found is None and exception in {"Exception", "ValueError"} and _OF_AN_INDEX.search(message):
        found = _NO_INDEX.search(before)
    if found is None:
        return None
    name = found["name"].replace("\\", "/").rpartition("/")[2]
    form = "in parts, with an index" if name.endswith("index.json") else "under this name"
    bins = "of torch.save (.bin), and not in safetensors" if name.startswith("pytorch_model") else "in safetensors"
    says = (
        f"the script reads only weights {form} and {bins}: `{name}` is not there, as the model is stored in another "
        "form, or its files are not whole"
    )
    small = 'model.save_pretrained(OUT, max_shard_size="500MB") writes parts and an index'
    old = "safe_serialization=False (transformers < 5) writes .bin files"
    return Explained("serving-limit", says, (f"save it in the form that the script takes: {small}", old))


def _of_another_size(found: re.Match[str], last: Frame, code: str) -> Explained | None:
    if _OF_WEIGHTS.search(f"{last.function} {last.path.rpartition('/')[2]} {code}") is None:
        return None
    shape, size = [int(one) for one in found["shape"].split(",")], int(found["size"])
    if re.search(r"[kv]_proj|\bw[kv]\b", code) is not None:
        return _of_fewer_heads(found["shape"], prod(shape), size)
    wanted = f", {prod(shape)} of them" if min(shape) > 0 else ""
    says = (
        f"the script makes a weight of {size} numbers into [{found['shape']}]{wanted}: the size of the model that it "
        "was told (a name, --type, heads, width) is not that of the checkpoint"
    )
    return Explained("settings-refused", says, (
        "give the name or the size of this model: compare hidden_size and num_attention_heads in its config.json",
    ))  # fmt: skip


def _of_fewer_heads(shape: str, wanted: int, size: int) -> Explained | None:
    """Where queries fit and keys do not, the script does not know of heads that share their keys."""
    if wanted <= size or wanted % size != 0:
        return None
    says = (
        f"the script splits the keys into as many heads as the queries ([{shape}], {wanted} numbers), and they have "
        f"{size}: the model has fewer heads of keys than of queries (num_key_value_heads in its config.json), which "
        "the script does not know"
    )
    return Explained("serving-limit", says, (
        "take a converter that reads num_key_value_heads: keys are split into that many heads",
        "or a model whose num_key_value_heads is num_attention_heads",
    ))  # fmt: skip
