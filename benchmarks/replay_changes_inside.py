"""Trains tiny adapters, and makes of them pairs with one thing changed, with what peft's own merge gives of each.

    PYTHON replay_changes_inside.py kinds
    PYTHON replay_changes_inside.py train KIND FOLDER
    PYTHON replay_changes_inside.py change MADE FOLDER

The first prints the kinds that these releases know. The second is what a user's script would be, and runs under
`envpin record`. The third copies the pairs of MADE, changes
one thing in each, merges it with `merge_and_unload` into `truth/`, and writes FOLDER/cases.json: what was changed, and
`ok`, `raises` with the error, or `loses` where tensors of the adapter are in no module, tensors of the base were made
at random, or the merged ones are not finite.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peft
import torch
import transformers as t
from packaging.version import Version
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

warnings.filterwarnings("ignore")
t.logging.set_verbosity_error()

# How the releases before name a dtype and the settings of positions, in calls and in config.json.
_DTYPE = "dtype" if Version(t.__version__) >= Version("4.56") else "torch_dtype"
_ROPE = "rope_parameters" if Version(t.__version__) >= Version("5") else "rope_scaling"

# transformers 4 reads the dtype of a config only where it is asked to.
_DTYPES = ("auto", "nope", "int8") if _ROPE == "rope_parameters" else ("auto", "nope")

Tensors = dict[str, torch.Tensor]
Edit = "Callable[[Path], object]"
_SIZES: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
_FULL = ["embed_tokens", "lm_head"]
# Base, dtype, what of LoraConfig is not the usual, and tokens that training adds.
_KINDS: dict[str, tuple[str, torch.dtype, dict[str, Any], int]] = {
    "lora": ("llama", torch.bfloat16, {}, 0), "fp32": ("llama", torch.float32, {}, 0),
    "sharded": ("llama", torch.bfloat16, {}, 0), "dora": ("llama", torch.bfloat16, {"use_dora": True}, 0),
    "rslora": ("llama", torch.bfloat16, {"use_rslora": True}, 0),
    "saved": ("llama", torch.bfloat16, {"modules_to_save": _FULL}, 0),
    "grown": ("llama", torch.bfloat16, {"modules_to_save": _FULL}, 3),
    "pissa": ("llama", torch.float32, {"init_lora_weights": "pissa"}, 0),
    "tied": ("qwen2", torch.bfloat16, {}, 0), "bias": ("qwen2", torch.bfloat16, {"bias": "lora_only"}, 0),
    "tokens": ("llama", torch.bfloat16, {"trainable_token_indices": {"embed_tokens": [5, 6]}}, 0),
    "patterns": ("llama", torch.bfloat16, {"rank_pattern": {"q_proj": 8}, "alpha_pattern": {"v_proj": 3}}, 0),
    "experts": (
        "qwen3_moe", torch.bfloat16,
        {"target_modules": ["q_proj"], "target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]}, 0,
    ),
    "gpt2": ("gpt2", torch.bfloat16, {"target_modules": ["c_attn"], "fan_in_fan_out": True}, 0),
}  # fmt: skip


def kinds() -> list[str]:
    """Of all kinds those whose settings this peft has; transformers 5 keeps the experts in one parameter."""
    fields = peft.LoraConfig.__dataclass_fields__
    return [
        kind
        for kind, (base, _, options, _) in _KINDS.items()
        if options.keys() <= fields.keys() and (base != "qwen3_moe" or Version(t.__version__) >= Version("5"))
    ]


# training -------------------------------------------------------------------------------------------------------------


def _model(base: str) -> Any:
    if base == "gpt2":
        return t.GPT2LMHeadModel(t.GPT2Config(n_embd=64, n_layer=2, n_head=4, vocab_size=320))
    if base == "qwen2":
        return t.Qwen2ForCausalLM(t.Qwen2Config(**_SIZES, tie_word_embeddings=True))
    if base == "qwen3_moe":
        experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16}
        return t.Qwen3MoeForCausalLM(t.Qwen3MoeConfig(**_SIZES, **experts))
    return t.LlamaForCausalLM(t.LlamaConfig(**_SIZES))


def _tokenizer() -> Any:
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    words = [*special.values(), *(f"w{number}" for number in range(317))]
    table = {word: number for number, word in enumerate(words)}
    made = Tokenizer(models.WordLevel(table, unk_token=special["unk_token"]))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return t.PreTrainedTokenizerFast(tokenizer_object=made, **special)


def train(kind: str, folder: Path) -> None:
    base, dtype, options, tokens = _KINDS[kind]
    torch.manual_seed(0)
    model, tokenizer = _model(base), _tokenizer()
    shards = {"max_shard_size": "60KB"} if kind == "sharded" else {}
    model.to(dtype).save_pretrained(folder / "base", **shards)
    tokenizer.save_pretrained(folder / "base")
    model = type(model).from_pretrained(folder / "base", **{_DTYPE: dtype})
    if tokens:
        tokenizer.add_tokens([f"<new{number}>" for number in range(tokens)])
        model.resize_token_embeddings(len(tokenizer))
    usual = {"task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj", "down_proj"]}
    wrapped = peft.get_peft_model(model, peft.LoraConfig(**{**usual, **options}))
    more: dict[str, Any] = {}
    if kind == "pissa":
        wrapped.save_pretrained(folder / "start")
        more = {"path_initial_model_for_weight_conversion": str(folder / "start")}
    trained = [(name, one) for name, one in wrapped.named_parameters() if one.requires_grad]
    for name, one in trained:
        if "lora_B" in name and kind != "pissa":
            torch.nn.init.normal_(one, std=0.02)
    optimizer = torch.optim.SGD([one for _, one in trained], lr=0.1)
    for _step in range(2):
        batch = torch.randint(3, 320, (2, 12))
        wrapped(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    wrapped.save_pretrained(folder / "adapter", **more)
    tokenizer.save_pretrained(folder / "adapter")


# changes --------------------------------------------------------------------------------------------------------------

_BASE, _ADAPTER = "base/model.safetensors", "adapter/adapter_model.safetensors"
_Q, _K, _AT = "layers.0.self_attn.q_proj", "layers.0.self_attn.k_proj", "base_model.model.model."


def _json(file: str, *left_out: str, **fields: Any) -> Edit:
    def run(folder: Path) -> None:
        document = json.loads((folder / file).read_text(encoding="utf-8"))
        kept = {name: value for name, value in document.items() if name not in left_out}
        (folder / file).write_text(json.dumps(kept | fields), encoding="utf-8")

    return run


def _config(*left_out: str, **fields: Any) -> Edit:
    return _json("base/config.json", *left_out, **fields)


def _settings(*left_out: str, **fields: Any) -> Edit:
    return _json("adapter/adapter_config.json", *left_out, **fields)


def _tensors(where: str, change: Callable[[Tensors], Tensors]) -> Edit:
    def run(folder: Path) -> None:
        for path in sorted((folder / where).glob("*.safetensors")):
            held = {name: one.contiguous() for name, one in change(load_file(path)).items()}
            save_file(held, path, metadata={"format": "pt"})

    return run


def _bytes(file: str, change: Callable[[bytes], bytes]) -> Edit:
    return lambda folder: (folder / file).write_bytes(change((folder / file).read_bytes()))


def _gone(*files: str) -> Edit:
    return lambda folder: [(folder / one).unlink() for one in files]


def _all(*edits: Edit) -> Edit:
    return lambda folder: [one(folder) for one in edits]


def _each(change: Callable[[torch.Tensor], torch.Tensor], part: str = "") -> Callable[[Tensors], Tensors]:
    return lambda held: {name: change(one) if part in name else one for name, one in held.items()}


def _without(*parts: str) -> Callable[[Tensors], Tensors]:
    return lambda held: {name: one for name, one in held.items() if not any(part in name for part in parts)}


def _to(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda held: {name.replace(old, new): one for name, one in held.items()}


def _and(**more: torch.Tensor) -> Callable[[Tensors], Tensors]:
    return lambda held: held | {name.replace("__", "."): one for name, one in more.items()}


def _with(one: torch.Tensor, value: float) -> torch.Tensor:
    made = one.clone()
    made.view(-1)[one.numel() // 2] = value
    return made


def _index(fields: Callable[[dict[str, str]], Any]) -> Edit:
    def run(folder: Path) -> None:
        path = folder / "base" / "model.safetensors.index.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(document | {"weight_map": fields(document["weight_map"])}), encoding="utf-8")

    return run


_TABLES = "embed_tokens", "lm_head"
_NAN = float("nan")
_OF_BASE: dict[str, Edit] = {
    "another value": _tensors("base", _each(lambda one: _with(one, 1.0), _Q)),
    "NaN in a changed tensor": _tensors("base", _each(lambda one: _with(one, _NAN), _Q)),
    "NaN in another": _tensors("base", _each(lambda one: _with(one, _NAN), _K)),
    "NaN in the head": _tensors("base", _each(lambda one: _with(one, _NAN), "lm_head")),
    **{f"no {part}": _tensors("base", _without(part)) for part in (_Q, _K, *_TABLES, "model.norm", "layers.1.")},
    "cut off": _bytes(_BASE, lambda data: data[:-100]), "empty": _bytes(_BASE, lambda _: b""), "no file": _gone(_BASE),
    "a broken header": _bytes(_BASE, lambda data: data[:20] + b"}}" + data[22:]),
    "wider": _tensors("base", _each(lambda one: torch.cat([one, one]), _Q)),
    "flat": _tensors("base", _each(torch.Tensor.flatten, _Q)),
    "module. in front": _tensors("base", lambda held: {f"module.{name}": one for name, one in held.items()}),
    "base_layer": _tensors("base", _to("q_proj.weight", "q_proj.base_layer.weight")),
    **{f"num_hidden_layers {number}": _config(num_hidden_layers=number) for number in (1, 3)},
    "tied by the config": _config(tie_word_embeddings=True), "other theta": _config(rope_theta=5e5),
    "no architectures": _config("architectures"), "a class of none": _config(architectures=["NopeForCausalLM"]),
    "another class": _config(architectures=["MistralForCausalLM"]), "no dtype": _config(_DTYPE),
    **{f"dtype {name}": _config(**{_DTYPE: name}) for name in _DTYPES},
    "padding beyond": _config(pad_token_id=999), "an attention of no package": _config(
        attn_implementation="flash_attention_2"),
    "more of vocab_size": _config(vocab_size=400), "a bias of the config": _config(attention_bias=True),
    "hidden_act of none": _config(hidden_act="nope"), "rope of none": _config(**{_ROPE: {"rope_type": "nope"}}),
    "config.json cut off": _bytes("base/config.json", lambda data: data[:-5]),
    "no tokenizer": _gone("base/tokenizer.json", "base/tokenizer_config.json"),
}  # fmt: skip
_OF_INDEX: dict[str, Edit] = {
    "no index": _gone("base/model.safetensors.index.json"),
    "no shard": _gone("base/model-00002-of-00004.safetensors"),
    "an empty map": _index(lambda _: {}),
    "a list": _index(list),
    "a tensor left out": _index(lambda held: {name: one for name, one in held.items() if _Q not in name}),
    "no such file": _index(lambda held: held | {f"model.{_Q}.weight": "nope.safetensors"}),
    "out of the folder": _index(lambda held: held | {f"model.{_Q}.weight": "../x.safetensors"}),
}
_VALUES: dict[str, tuple[Any, ...]] = {
    "lora_alpha": (0, -8, 2.5, "8", None, ...), "r": (8, 2, 0, "4", ...), "use_rslora": (True,), "use_dora": (True,),
    "fan_in_fan_out": (True,), "bias": ("all", "nope"), "modules_to_save": (["lm_head"], ["nothing"]),
    "peft_type": ("LOHA", "NOPE", ...), "task_type": (None, "SEQ_CLS", "NOPE"),
    "target_modules": (["q_proj"], "all-linear", ".*_proj", None, [], ["nothing"]),
    "rank_pattern": ({"q_proj": 8},), "alpha_pattern": ({"q_proj": 3}, {"nothing": 3}, {"q_proj": "x"}),
    "layers_to_transform": ([0], [5]), "exclude_modules": (["q_proj"], "nothing"), "lora_bias": (True,),
    "init_lora_weights": ("pissa", "olora", "gaussian", "nope"), "layer_replication": ([[0, 2], [1, 2]],),
    "trainable_token_indices": ([5],), "use_qalora": (True,), "base_model_name_or_path": (None, "/nowhere"),
    "peft_version": ("99.0",), "a_field_of_none": (1,),
}  # fmt: skip
_OF_ADAPTER: dict[str, Edit] = {
    "another value": _tensors("adapter", _each(lambda one: _with(one, 1.0), f"{_Q}.lora_B")),
    "NaN": _tensors("adapter", _each(lambda one: _with(one, _NAN), f"{_Q}.lora_B")),
    "zero B": _tensors("adapter", _each(torch.zeros_like, "lora_B")),
    "zero A": _tensors("adapter", _each(torch.zeros_like, "lora_A")),
    "beyond the range": _tensors("adapter", _each(lambda one: one * 1e25)),
    **{f"no {part}": _tensors("adapter", _without(part)) for part in (
        f"{_Q}.lora_A", f"{_Q}.lora_B", _Q, "layers.1.", "base_model")},
    **{str(dtype): _tensors("adapter", _each(lambda one, to=dtype: one.to(to))) for dtype in (
        torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.float8_e4m3fn)},
    "cut off": _bytes(_ADAPTER, lambda data: data[:-100]), "empty": _bytes(_ADAPTER, lambda _: b""),
    "no file": _gone(_ADAPTER), "a page": _bytes(_ADAPTER, lambda _: b"<html>not found</html>"),
    "rank of one": _tensors("adapter", lambda held: {
        name: torch.cat([one, one], int("lora_B" in name)) if _Q in name else one for name, one in held.items()}),
    "longer B": _tensors("adapter", _each(lambda one: torch.cat([one, one]), f"{_Q}.lora_B")),
    "transposed": _tensors("adapter", _each(lambda one: one.T)),
    "flat": _tensors("adapter", _each(torch.Tensor.flatten)),
    "peft's name in the names": _tensors("adapter", _to(".weight", ".default.weight")),
    "no base_model.model.": _tensors("adapter", _to("base_model.model.", "")),
    "layer 9": _tensors("adapter", _to("layers.1.", "layers.9.")),
    "a vision model's names": _tensors("adapter", _to("model.model.layers", "model.model.language_model.layers")),
    "a tensor of none": _tensors("adapter", _and(base_model__model__extra=torch.ones(3))),
    "a head more": _tensors("adapter", _and(base_model__model__lm_head__weight=torch.ones(320, 64))),
    "no tokenizer": _gone("adapter/tokenizer.json", "adapter/tokenizer_config.json"),
}  # fmt: skip
_OF_KINDS: dict[str, dict[str, Edit]] = {
    "dora": {
        "no magnitudes": _tensors("adapter", _without("magnitude")), "use_dora false": _settings(use_dora=False),
        "negative": _tensors("adapter", _each(torch.neg, "magnitude")), "rslora too": _settings(use_rslora=True),
    },
    "rslora": {"use_rslora false": _settings(use_rslora=False)},
    "saved": {
        "no head": _tensors("adapter", _without("lm_head")), "a shorter head": _tensors(
            "adapter", _each(lambda one: one[:300], "lm_head")),
        "modules_to_save null": _settings(modules_to_save=None), "a tied base": _config(tie_word_embeddings=True),
        "both longer": _tensors("adapter", lambda held: {
            name: torch.cat([one, one[:4]]) if any(part in name for part in _TABLES) else one
            for name, one in held.items()}),
    },
    "grown": {
        "no embedding": _tensors("adapter", _without("embed_tokens")),
        "no head": _tensors("adapter", _without("lm_head")),
        "neither": _tensors("adapter", _without(*_TABLES)),
        "no tokenizer": _gone("adapter/tokenizer.json", "adapter/tokenizer_config.json"),
    },
    "pissa": {"its start's name": _settings(init_lora_weights="pissa")},
    "tied": {"untied by the config": _config(tie_word_embeddings=False)},
    "tokens": {
        "other rows": _settings(trainable_token_indices={"embed_tokens": [7, 8]}),
        "one row": _settings(trainable_token_indices={"embed_tokens": [5]}),
        "a row beyond": _settings(trainable_token_indices={"embed_tokens": [5, 999]}),
        "null": _settings(trainable_token_indices=None), "no rows": _tensors("adapter", _without("token_adapter")),
    },
    "bias": {"none": _settings(bias="none"), "all": _settings(bias="all")},
    "patterns": {"no ranks": _settings(rank_pattern={}), "other alphas": _settings(alpha_pattern={"v_proj": 30})},
    "experts": {
        "one parameter": _settings(target_parameters=["mlp.experts.gate_up_proj"]),
        "none": _settings(target_parameters=None), "no router": _tensors("base", _without("layers.0.mlp.gate.")),
        "an expert less": _tensors("base", _without("layers.0.mlp.experts.1.")), "more experts": _config(num_experts=8),
    },
    "gpt2": {"fan_in_fan_out false": _settings(fan_in_fan_out=False)},
}  # fmt: skip


def _changes() -> Iterator[tuple[str, str, Edit]]:
    """The kind, what is changed, and how. A base is changed below a record that tells nothing of its weights."""
    nothing: Edit = lambda _: None  # noqa: E731
    known = kinds()
    yield from ((kind, "nothing", nothing) for kind in known)
    yield from (("lora", f"base: {what}", _all(_unknown_weights, edit)) for what, edit in _OF_BASE.items())
    yield from (("sharded", f"index: {what}", _all(_unknown_weights, edit)) for what, edit in _OF_INDEX.items())
    yield "lora", "recorded base: another value", _OF_BASE["another value"]
    for field, values in _VALUES.items():
        for value in values:
            edit = _settings(field) if value is ... else _settings(**{field: value})
            yield "lora", f"{field} {'absent' if value is ... else json.dumps(value)}", edit
    yield from (("lora", f"adapter: {what}", edit) for what, edit in _OF_ADAPTER.items())
    for kind, edits in _OF_KINDS.items():
        yield from ((kind, what, _all(_unknown_weights, edit)) for what, edit in edits.items() if kind in known)


def _unknown_weights(folder: Path) -> None:
    path = folder / "adapter" / "envpin.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["base"] = {name: one for name, one in document["base"].items() if name not in {"files", "weights"}}
    path.write_text(json.dumps(document), encoding="utf-8")


def change(made: Path, out: Path) -> None:
    cases = []
    for number, (kind, what, edit) in enumerate(_changes()):
        folder = out / f"{number:03}"
        for part in ("base", "adapter"):
            shutil.copytree(made / kind / part, folder / part)
        (folder / "base" / "envpin.json").unlink(missing_ok=True)  # of a base in shards
        for name in ("adapter_config.json", "envpin.json"):
            path = folder / "adapter" / name
            old, new = str(made / kind / "base"), str(folder / "base")
            path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        edit(folder)
        cases.append({"folder": folder.name, "kind": kind, "what": what, "peft": _merged(folder)})
    versions = {one.__name__: one.__version__ for one in (peft, t, torch)}
    (out / "cases.json").write_text(json.dumps({"versions": versions, "cases": cases}), encoding="utf-8")


def _merged(folder: Path) -> str:
    """What peft's own merge gives, which it leaves in `truth/`."""
    try:
        config = json.loads((folder / "base" / "config.json").read_text(encoding="utf-8"))
        named = getattr(t, next(iter(config.get("architectures") or ["-"])), t.AutoModelForCausalLM)
        model, told = named.from_pretrained(folder / "base", output_loading_info=True, **{_DTYPE: "auto"})
        held = load_file(folder / _ADAPTER) if (folder / _ADAPTER).exists() else {}
        rows = max(
            (len(one) for name, one in held.items() if name.endswith((".embed_tokens.weight", ".lm_head.weight"))),
            default=0,
        )
        if rows and rows != model.get_input_embeddings().num_embeddings:
            model.resize_token_embeddings(rows)
        before = {name: one.detach().clone() for name, one in model.state_dict().items()}
        wrapped = peft.PeftModel.from_pretrained(model, folder / "adapter")
        loaded = [one.detach().float() for one in wrapped.state_dict().values()]
        # older releases save the modules that training did not touch as well, which no merge takes
        trained = {name: one for name, one in held.items() if ".original_module." not in name}
        lost = [name for name, one in trained.items() if not _is_in(one.float(), loaded)]
        merged = wrapped.merge_and_unload()
        merged.save_pretrained(folder / "truth")
    except Exception as error:  # noqa: BLE001  whatever it is, the case is that it raises
        return f"raises {type(error).__name__}: {str(error)[:200]}"
    stored = _stored(folder / "base")
    random = [name for name in sorted(told["missing_keys"]) if not _is_as(name, stored, before)]
    broken = [name for name, one in merged.state_dict().items() if not bool(torch.isfinite(one.float()).all())]
    for names, words in ((random, "made at random"), (broken, "not finite"), (lost, "of the adapter in no module")):
        if names:
            return f"loses {len(names)} {words}: {names[0]}"
    return "ok"


def _stored(folder: Path) -> Tensors:
    return {name: one for path in sorted(folder.glob("*.safetensors")) for name, one in load_file(path).items()}


def _is_as(name: str, stored: Tensors, model: Tensors) -> bool:
    """Whether a tensor that is called missing is in the model as in the files: transformers 4 reads whole shards,
    whatever the index says of them."""
    return name in stored and name in model and torch.equal(stored[name].float(), model[name].float())


def _is_in(one: torch.Tensor, loaded: list[torch.Tensor]) -> bool:
    """Whether a tensor of the file is in the model, as far as its dtype there holds it."""
    near = [held for held in loaded if held.shape == one.shape]
    return any(torch.allclose(held, one, rtol=0.01, atol=1e-6, equal_nan=True) for held in near)


if __name__ == "__main__":
    if sys.argv[1] == "kinds":
        print(*kinds())
    elif sys.argv[1] == "train":
        train(sys.argv[2], Path(sys.argv[3]))
    else:
        change(Path(sys.argv[2]), Path(sys.argv[3]))
