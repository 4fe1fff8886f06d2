"""Makes bases, adapters and adapters with one thing changed, and loads each with the peft of this interpreter.

    PYTHON check_peft_inside.py FOLDER

Writes FOLDER/cases.json: of each case the base, the adapter, what was changed, and what peft did with it: `ok`,
`raises` with the error, or `loses` with what of the file is not in the loaded model or not finite in the merged one.
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
import transformers
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()

Tensors = dict[str, torch.Tensor]
_SIZES: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 300}
_LLAMA: dict[str, Any] = {**_SIZES, "intermediate_size": 128, "num_key_value_heads": 2}
# Values of other types, tried in every field of LoraConfig.
_VALUES: tuple[Any, ...] = (None, "x", -1, 0, 2.5, True, [], {}, ["q_proj"])
_MORE: dict[str, tuple[Any, ...]] = {
    "target_modules": (
        "q_proj|v_proj", ".*q_proj", "all-linear", r".*\.layers\.0\..*(q_proj|v_proj)", ["q_proj"], ["self_attn"],
        ["q_proj", "nothing"], ["nothing"],
    ),
    "lora_alpha": ("16", 0, -16, float("inf")), "r": ("8", 4, 16, 8.0), "bias": ("all", "lora_only", "nope"),
    "task_type": ("SEQ_CLS", "FEATURE_EXTRACTION", "nope", "causal_lm"), "peft_type": ("lora", "QLORA", "ADALORA"),
    "layers_to_transform": (0, [0], [5], "0"), "layers_pattern": ("layers", ["h"]),
    "rank_pattern": ({"q_proj": 4}, {"nothing": 4}, {"q_proj": "4"}), "alpha_pattern": ({"q_proj": 4}, {"q_proj": "x"}),
    "modules_to_save": (["lm_head"], ["nothing"], "lm_head"), "exclude_modules": ("q_proj", ["q_proj"], ["nothing"]),
    "init_lora_weights": ("gaussian", "olora", "eva", "nope", False), "use_dora": (True,), "lora_bias": (True,),
    "trainable_token_indices": ([1, 2], {"embed_tokens": [1]}),
}  # fmt: skip


def main(folder: Path) -> None:
    adapters = {(base, name): path for base, name, path in _made(folder)}
    cases: list[dict[str, str]] = []
    for base in dict.fromkeys(base for base, _ in adapters):
        for (own, name), path in adapters.items():
            cases.append(_case(folder, base, path, f"another base: {own} {name}" if own != base else f"none: {name}"))
    usual = adapters["llama", "lora"]
    cases += [_case(folder, "llama", path, what) for what, path in _edited(folder, usual)]
    for (base, name), path in adapters.items():
        cases += [_case(folder, base, one, f"{name}: {what}") for what, one in _renamed(folder, path, base, name)]
    versions = {one.__name__: one.__version__ for one in (peft, transformers, torch)}
    (folder / "cases.json").write_text(json.dumps({"versions": versions, "cases": cases}), encoding="utf-8")


def _models() -> Iterator[tuple[str, Any, list[str]]]:
    t = transformers
    yield "llama", t.LlamaForCausalLM(t.LlamaConfig(**_LLAMA)), ["q_proj", "k_proj", "v_proj", "o_proj"]
    heads = {**_LLAMA, "num_key_value_heads": 4}
    yield "llama-mha", t.LlamaForCausalLM(t.LlamaConfig(**heads)), ["q_proj", "v_proj", "down_proj"]
    wide = {**_LLAMA, "hidden_size": 96, "intermediate_size": 192}
    yield "llama-wide", t.LlamaForCausalLM(t.LlamaConfig(**wide)), ["q_proj", "v_proj"]
    yield "llama-deep", t.LlamaForCausalLM(t.LlamaConfig(**{**_LLAMA, "num_hidden_layers": 4})), ["q_proj", "v_proj"]
    tied = {**_LLAMA, "tie_word_embeddings": True}
    yield "llama-tied", t.LlamaForCausalLM(t.LlamaConfig(**tied)), ["q_proj", "lm_head", "embed_tokens"]
    yield "qwen2", t.Qwen2ForCausalLM(t.Qwen2Config(**tied)), ["q_proj", "v_proj", "up_proj"]
    yield "gemma2", t.Gemma2ForCausalLM(t.Gemma2Config(**_LLAMA, head_dim=16)), ["q_proj", "v_proj"]
    yield "phi3", t.Phi3ForCausalLM(t.Phi3Config(**_LLAMA, pad_token_id=0)), ["qkv_proj", "o_proj", "gate_up_proj"]
    gpt2 = t.GPT2Config(n_embd=64, n_layer=2, n_head=4, vocab_size=300)
    yield "gpt2", t.GPT2LMHeadModel(gpt2), ["c_attn", "c_proj"]
    opt = t.OPTConfig(**_SIZES, ffn_dim=128, word_embed_proj_dim=64)
    yield "opt", t.OPTForCausalLM(opt), ["q_proj", "v_proj", "fc1"]
    bert = t.BertConfig(**_SIZES, intermediate_size=128, num_labels=3)
    yield "bert", t.BertForSequenceClassification(bert), ["query", "value"]
    t5 = t.T5Config(d_model=64, d_ff=128, num_layers=2, num_heads=4, d_kv=16, vocab_size=300)
    yield "t5", t.T5ForConditionalGeneration(t5), ["q", "v", "wi"]


def _configs(base: str, targets: list[str]) -> Iterator[tuple[str, Any]]:
    task = {"bert": "SEQ_CLS", "t5": "SEQ_2_SEQ_LM"}.get(base, "CAUSAL_LM")
    yield "lora", peft.LoraConfig(task_type=task, r=8, lora_alpha=16, target_modules=targets)
    if base != "llama":
        return
    one: dict[str, Any] = {"task_type": task, "target_modules": ["q_proj"]}
    whole = ["lm_head", "embed_tokens"]
    yield "dora", peft.LoraConfig(**one, use_dora=True)
    yield "modules_to_save", peft.LoraConfig(**one, modules_to_save=whole)
    yield "LoHa", peft.LoHaConfig(**one)
    yield "IA3", peft.IA3Config(**one, feedforward_modules=[])
    yield "VeRA", peft.VeraConfig(**one)
    yield "OFT", peft.OFTConfig(**one, oft_block_size=8)
    yield "HRA", peft.HRAConfig(**one)


def _made(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Every base, with the adapters that peft itself makes and saves on it."""
    torch.manual_seed(0)
    for base, model, targets in _models():
        model.save_pretrained(folder / base)
        for name, config in _configs(base, targets):
            wrapped = peft.get_peft_model(type(model).from_pretrained(folder / base), config)
            for parameter in wrapped.parameters():
                if parameter.requires_grad:
                    parameter.data = torch.randn(parameter.shape) * 0.02
            path = folder / f"{base}.{name}"
            wrapped.save_pretrained(path)
            yield base, name, path


def _edited(folder: Path, usual: Path) -> Iterator[tuple[str, Path]]:
    """The usual adapter with one field of its config changed, or left out."""
    config = json.loads((usual / "adapter_config.json").read_text(encoding="utf-8"))
    number = 0
    for field in config:
        for value in (*_VALUES, *_MORE.get(field, ()), Ellipsis):
            number += 1
            path = folder / f"edited.{number}"
            shutil.copytree(usual, path)
            rest = {name: one for name, one in config.items() if name != field}
            changed = rest if value is Ellipsis else {**config, field: value}
            (path / "adapter_config.json").write_text(json.dumps(changed), encoding="utf-8")
            yield f"{field} absent" if value is Ellipsis else f"{field} = {json.dumps(value)}", path


def _to(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda all_: {name.replace(old, new): value for name, value in all_.items()}


def _each(change: Callable[[torch.Tensor], torch.Tensor], where: str = "") -> Callable[[Tensors], Tensors]:
    return lambda all_: {name: change(value) if where in name else value for name, value in all_.items()}


def _without(part: str) -> Callable[[Tensors], Tensors]:
    return lambda all_: {name: value for name, value in all_.items() if part not in name}


_FIRST = "layers.0.self_attn.q_proj"
_CHANGES: dict[str, Callable[[Tensors], Tensors]] = {
    "the adapter's name in the names": _to(".weight", ".default.weight"), "no .weight": _to("lora_A.weight", "lora_A"),
    "no base_model.model.": _to("base_model.model.", ""), "module. in front": _to("base_model.", "module.base_model."),
    "without the head": _to("base_model.model.model.", "base_model.model."),
    "model. twice": _to("base_model.model.model.", "base_model.model.model.model."),
    "of a vision-language model": _to("model.model.layers", "model.model.language_model.layers"),
    "of an older one": _to("model.model.layers", "model.language_model.model.layers"),
    "kohya's names": lambda all_: _to("lora_A", "lora_down")(_to("lora_B", "lora_up")(all_)),
    "attention for self_attn": _to("self_attn", "attention"), "layer 9 for 1": _to("layers.1.", "layers.9."),
    "transposed": _each(lambda one: one.T.contiguous() if one.dim() == 2 else one), "flat": _each(torch.Tensor.flatten),
    "NaN in one": _each(lambda one: one * float("nan"), _FIRST), "infinity in one": _each(lambda one: one / 0, _FIRST),
    "no elements": _each(lambda _: torch.zeros(0)), "of no tensor": lambda _: {},
    "without lora_A of one": _without(f"{_FIRST}.lora_A"), "without one module": _without(f"{_FIRST}."),
    "without a layer": _without("layers.1."),
    "a module more": lambda all_: all_ | {
        "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": torch.ones(8, 64),
        "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight": torch.ones(128, 8),
    },
    "modules_to_save in the name": _to("lm_head.weight", "lm_head.modules_to_save.default.weight"),
}  # fmt: skip


def _renamed(folder: Path, adapter: Path, base: str, name: str) -> Iterator[tuple[str, Path]]:
    """An adapter with its tensors renamed, reshaped, taken away or put in."""
    if base != "llama":
        return
    for number, (what, change) in enumerate(_CHANGES.items()):
        path = folder / f"renamed.{name}.{number}"
        shutil.copytree(adapter, path)
        before = load_file(path / "adapter_model.safetensors")
        after = change(dict(before))
        if list(after) == list(before) and all(one is after[key] for key, one in before.items()):
            continue  # nothing in it that the change is about
        save_file(after, path / "adapter_model.safetensors", metadata={"format": "pt"})
        yield what, path


def _case(folder: Path, base: str, adapter: Path, what: str) -> dict[str, str]:
    return {"base": base, "adapter": adapter.name, "what": what, "peft": _tried(folder / base, adapter)}


def _tried(base: Path, adapter: Path) -> str:
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    try:
        model = getattr(transformers, config["architectures"][0]).from_pretrained(base)
        loaded = peft.PeftModel.from_pretrained(model, adapter)
        held = [one.detach().float() for one in loaded.state_dict().values()]
        whole = load_file(adapter / "adapter_model.safetensors")
        lost = [name for name, one in whole.items() if not _is_held(one.float(), held)]
        merged = loaded.merge_and_unload().state_dict() if hasattr(loaded, "merge_and_unload") else {}
    except Exception as error:  # noqa: BLE001  whatever it is, the case is that it raises
        return f"raises {type(error).__name__}: {str(error)[:200]}"
    if lost:
        return f"loses {len(lost)} of {len(whole)}: {lost[0]}"
    broken = [name for name, one in merged.items() if not bool(torch.isfinite(one.float()).all())]
    return f"loses {len(broken)} to NaN: {broken[0]}" if broken else "ok"


def _is_held(one: torch.Tensor, held: list[torch.Tensor]) -> bool:
    """NaN equals nothing, and the merged model tells of it."""
    return not bool(torch.isfinite(one).all()) or any(one.shape == own.shape and torch.equal(one, own) for own in held)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
