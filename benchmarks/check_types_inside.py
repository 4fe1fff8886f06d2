"""Makes small models of many types and classes, changes one thing of each, and loads them by this transformers.

    PYTHON check_types_inside.py FOLDER [TYPE...]

Writes FOLDER/cases.json as check_base_inside.py does, without adapters: of each case the model, what was changed, and
what became of it: `ok`; `raises` with the error; `loses` where transformers made a tensor at random; `unread` where
tensors of the files were left out. Every class of a type is saved and loaded unchanged, with its own names and with the
model's prefix taken off or put in front; of one class of each type tensors are lost, cut, transposed, added, and fields
of the config changed.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.models.auto import modeling_auto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()

Tensors = dict[str, torch.Tensor]
_TEXT: dict[str, Any] = {
    "hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 211,
    "intermediate_size": 88, "pad_token_id": 0,
}  # fmt: skip
_BERT = {**_TEXT, "max_position_embeddings": 70, "type_vocab_size": 2}
_DEBERTA = {
    **_BERT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False,
    "norm_rel_ebd": "layer_norm", "share_att_key": True, "position_buckets": 256, "type_vocab_size": 0,
}  # fmt: skip
_MLLAMA_VISION = {
    "hidden_size": 48, "num_hidden_layers": 2, "num_global_layers": 2, "attention_heads": 4, "intermediate_size": 88,
    "image_size": 28, "patch_size": 14, "vision_output_dim": 96, "intermediate_layers_indices": [0],
}  # fmt: skip
_T5 = {"d_model": 48, "d_kv": 12, "d_ff": 88, "num_layers": 3, "num_heads": 4, "vocab_size": 211}
_BART = {
    "d_model": 48, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 88, "decoder_ffn_dim": 72, "vocab_size": 211, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
_VIT = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 88, "image_size": 28,
        "patch_size": 14}  # fmt: skip
_LLAMA = {**_TEXT, "model_type": "llama"}
_CLIP = {**_VIT, "model_type": "clip_vision_model"}
_QWEN_VL = {"depth": 3, "embed_dim": 48, "hidden_size": 48, "num_heads": 4, "patch_size": 14, "intermediate_size": 88,
            "out_hidden_size": 48, "fullatt_block_indexes": [1], "deepstack_visual_indexes": [0, 1, 2]}  # fmt: skip
_QWEN_TEXT = {
    **_TEXT, "head_dim": 12, "num_experts": 4, "moe_intermediate_size": 32,
    "rope_scaling": {"type": "default", "rope_type": "default", "mrope_section": [2, 2, 2]},
}  # fmt: skip
_MOE = {
    **_TEXT, "num_experts": 4, "n_routed_experts": 4, "moe_intermediate_size": 32, "head_dim": 12, "kv_lora_rank": 16,
    "q_lora_rank": 24, "first_k_dense_replace": 1, "mlp_only_layers": [1], "n_group": 1, "topk_group": 1,
    "shared_expert_intermediate_size": 40, "num_experts_per_tok": 2,
}  # fmt: skip
# By type the fields of a small model's config; those that its config does not have are left out.
MADE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra", "albert", "mpnet", "modernbert"), _BERT),
    "distilbert": {"dim": 48, "n_layers": 3, "n_heads": 4, "hidden_dim": 88, "vocab_size": 211},
    "deberta-v2": _DEBERTA, "electra/base": {**_BERT, "embedding_size": 48},
    "t5": _T5, "mt5": _T5, "umt5": _T5, "bart": _BART, "mbart": _BART, "pegasus": _BART,
    "marian": {**_BART, "decoder_start_token_id": 0}, "m2m_100": _BART,
    "whisper": {**_BART, "max_source_positions": 50, "max_target_positions": 40, "num_mel_bins": 16},
    "vit": _VIT, "deit": _VIT, "dinov2": _VIT, "clip_vision_model": _CLIP, "siglip_vision_model": _VIT,
    "clip": {"text_config": _BERT, "vision_config": _VIT}, "siglip": {"text_config": _BERT, "vision_config": _VIT},
    "wav2vec2": {**_TEXT, "num_conv_pos_embedding_groups": 4},
    "wav2vec2/large": {**_TEXT, "num_conv_pos_embedding_groups": 4, "feat_extract_norm": "layer", "conv_bias": True,
                       "do_stable_layer_norm": True},
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen3_vl"), {"text_config": _QWEN_TEXT, "vision_config": _QWEN_VL}),
    **dict.fromkeys(("llava", "llava_next"), {"text_config": _LLAMA, "vision_config": _CLIP}),
    "gemma3": {"text_config": {**_TEXT, "head_dim": 12}, "vision_config": _VIT, "mm_tokens_per_image": 4},
    "paligemma": {"text_config": {**_TEXT, "model_type": "gemma", "head_dim": 12},
                  "vision_config": {**_VIT, "model_type": "siglip_vision_model", "projection_dim": 48,
                                    "vision_use_head": False}},
    **dict.fromkeys(("idefics3", "smolvlm"), {"text_config": _LLAMA, "vision_config": _VIT}),
    "mllama": {"text_config": {**_TEXT, "cross_attention_layers": [1], "rope_scaling": {"rope_type": "default"}},
               "vision_config": _MLLAMA_VISION},
    "internvl": {"text_config": {**_TEXT, "model_type": "qwen2"},
                 "vision_config": {**_VIT, "image_size": [28, 28], "patch_size": [14, 14]}},
    "mistral3": {"text_config": {**_TEXT, "model_type": "mistral", "head_dim": 12},
                 "vision_config": {**_VIT, "model_type": "pixtral"}},
    **dict.fromkeys(("qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3", "glm4_moe"), _MOE),
    "qwen3_next": {**_MOE, "mlp_only_layers": [], "linear_num_value_heads": 4, "linear_num_key_heads": 2,
                   "linear_key_head_dim": 8, "linear_value_head_dim": 8},
    "lfm2": _TEXT, **dict.fromkeys(("mamba", "falcon_mamba"), {**_TEXT, "state_size": 8, "time_step_rank": 3}),
}  # fmt: skip
# Where the parts of a vision-language model were, and are, in files: the first that is found.
_NEWER = {r"^language_model\.model\.": "model.language_model.", r"^language_model\.lm_head": "lm_head",
          r"^(?=vision_tower|multi_modal_projector|visual|vision_model)": "model.",
          r"^model\.(?=layers|embed_tokens|norm)": "model.language_model."}  # fmt: skip
_OLDER = {r"^model\.language_model\.": "language_model.model.", r"^lm_head": "language_model.lm_head",
          r"^model\.(?=vision_tower|multi_modal_projector|visual|vision_model)": ""}  # fmt: skip
_FLAT = ("qwen2_vl", "qwen2_5_vl")
_COUNTED = {"num_labels": 3}
_READ = ("position_buckets", "share_att_key", "norm_rel_ebd")  # by models, though no config class has them
_LAYER = re.compile(r"^(.*?\.)(\d+)(\..*)$")


def main(folder: Path, *kinds: str) -> None:
    cases = []
    for variant, fields in MADE.items():
        kind = variant.partition("/")[0]
        if kind not in transformers.CONFIG_MAPPING or (kinds and kind not in kinds):
            continue
        named = []
        for name in _classes(kind):
            base = folder / f"{variant.replace('/', '-')}.{name}"
            try:
                _make(kind, name, fields, base)
            except Exception as error:  # noqa: BLE001  a class that this release makes of other fields
                print(f"{kind} {name}: {type(error).__name__}: {str(error)[:90]}", file=sys.stderr)
                continue
            named.append(name)
            cases.append(_case(base, base, "nothing"))
            for what, change in _prefixes(name):
                cases.append(_changed(base, len(cases), what, change))
        if named:
            base = folder / f"{variant.replace('/', '-')}.{_main(named)}"
            for what, change in _changes(base):
                cases.append(_changed(base, len(cases), what, change))
    versions = {one.__name__: one.__version__ for one in (transformers, torch)}
    (folder / "cases.json").write_text(json.dumps({"versions": versions, "cases": cases}), encoding="utf-8")


def _classes(kind: str) -> list[str]:
    found: dict[str, None] = {}
    for name in ("MODEL_MAPPING_NAMES", *sorted(dir(modeling_auto))):
        if name.endswith("_MAPPING_NAMES") and "BACKBONE" not in name:
            classes = getattr(modeling_auto, name).get(kind, ())
            found |= dict.fromkeys([classes] if isinstance(classes, str) else classes)
    return [one for one in found if hasattr(getattr(transformers, one, None), "base_model_prefix")]


def _main(names: list[str]) -> str:
    """The class that users fine-tune."""
    wanted = ("ForConditionalGeneration", "ForSequenceClassification", "ForImageClassification", "ForCTC", "MTModel",
              "ForCausalLM", "Model")  # fmt: skip
    return next((name for one in wanted for name in names if name.endswith(one)), names[-1])


def _make(kind: str, name: str, fields: dict[str, Any], base: Path) -> None:
    torch.manual_seed(0)
    config_class = transformers.CONFIG_MAPPING[kind]
    known = config_class().to_dict()
    config = config_class(**{one: value for one, value in fields.items() if one in known or one in _READ}, **_COUNTED)
    getattr(transformers, name)(config).save_pretrained(base)


def _case(base: Path, path: Path, what: str) -> dict[str, Any]:
    return {"base": path.name, "adapter": None, "what": f"{what}, {base.name}", "peft": _tried(path)}


def _changed(base: Path, number: int, what: str, change: Callable[[Path], object]) -> dict[str, Any]:
    path = base.with_name(f"{base.name}.{number}")
    shutil.copytree(base, path)
    change(path)
    return _case(base, path, what)


def _tried(path: Path) -> str:
    try:
        document = json.loads((path / "config.json").read_text(encoding="utf-8"))
        name = document.get("architectures") or document["text_config"]["architectures"]
        _, told = getattr(transformers, name[0]).from_pretrained(path, output_loading_info=True)
    except Exception as error:  # noqa: BLE001  whatever it is, the case is that it raises
        return f"raises {type(error).__name__}: {str(error)[:200]}"
    for key, what in (("missing_keys", "loses"), ("mismatched_keys", "loses"), ("unexpected_keys", "unread")):
        names = sorted(map(str, told.get(key, ())))
        if names:
            return f"{what} {len(names)}: {names[0]}"
    return "ok"


def _prefixes(name: str) -> Iterator[tuple[str, Callable[[Path], object]]]:
    prefix = f"{getattr(transformers, name).base_model_prefix}."
    if prefix != ".":
        yield f"`{prefix}` taken off", _tensors(lambda all_: {one.removeprefix(prefix): t for one, t in all_.items()})
        yield f"`{prefix}` in front", _tensors(lambda all_: {
            one if one.startswith(prefix) else prefix + one: t for one, t in all_.items()
        })  # fmt: skip


def _changes(base: Path) -> Iterator[tuple[str, Callable[[Path], object]]]:
    names = list(load_file(base / "model.safetensors"))
    for one in names[:: max(1, len(names) // 6)]:
        yield f"no {one}", _tensors(lambda all_, one=one: {name: t for name, t in all_.items() if name != one})
        yield (
            f"a row less of {one}",
            _tensors(lambda all_, one=one: all_ | ({one: all_[one][:-1]} if all_[one].ndim else {})),
        )
    for before in sorted({found[1] for name in names if (found := _LAYER.match(name))})[:4]:
        yield from _of_stack(before, names)
    yield from _published()
    yield "transposed", _tensors(lambda all_: {name: t.T if t.ndim == 2 else t for name, t in all_.items()})
    for text in ("module.", "_orig_mod.", "base_model.model."):
        yield f"{text} in front", _tensors(lambda all_, text=text: {text + name: t for name, t in all_.items()})
    yield "old names of norms", _tensors(lambda all_: {
        re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", re.sub(r"LayerNorm\.weight$", "LayerNorm.gamma", name)): t
        for name, t in all_.items()
    })  # fmt: skip
    yield "positions", _tensors(lambda all_: all_ | {f"{names[0].rpartition('.')[0]}.position_ids": torch.arange(9)})
    document = json.loads((base / "config.json").read_text(encoding="utf-8"))
    for path, value in _numbers(document):
        other = value * 2
        yield f"{'.'.join(path)} = {other}", lambda folder, path=path, other=other: _set(folder, path, other)
    yield "5 labels", lambda folder: _set(folder, ["id2label"], {str(number): "x" for number in range(5)})


def _published() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """What is otherwise in files that were published than in what is saved here, and loads."""
    yield "in half precision", _tensors(lambda all_: {
        name: t.half() if t.is_floating_point() else t for name, t in all_.items()
    })  # fmt: skip
    yield "in two shards", _shard
    yield "without a tied head", _tensors(lambda all_: {
        name: t for name, t in all_.items() if not name.endswith(("lm_head.weight", "decoder.weight"))
    })  # fmt: skip
    yield "names of old weight norms", _tensors(lambda all_: {
        name.replace(".parametrizations.weight.original0", ".weight_g")
        .replace(".parametrizations.weight.original1", ".weight_v"): t
        for name, t in all_.items()
    })  # fmt: skip
    yield "parts by newer names", _tensors(lambda all_: {_moved(name, _NEWER): t for name, t in all_.items()})
    yield "parts by older names", _tensors(lambda all_: {_moved(name, _OLDER): t for name, t in all_.items()})
    yield "the text's fields at the top", _flatten


def _moved(name: str, places: dict[str, str]) -> str:
    return next((re.sub(old, new, name) for old, new in places.items() if re.search(old, name)), name)


def _shard(path: Path) -> None:
    held = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    files: dict[str, str] = {}
    for number in (1, 2):
        part = {name: t for at, (name, t) in enumerate(held.items()) if at % 2 == number - 1}
        file = f"model-0000{number}-of-00002.safetensors"
        save_file(part, path / file, metadata={"format": "pt"})
        files |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": sum(t.nbytes for t in held.values())}, "weight_map": files}
    (path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _flatten(path: Path) -> None:
    file = path / "config.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    text = document.get("text_config")
    if document["model_type"] in _FLAT and isinstance(text, dict):
        del document["text_config"]
        file.write_text(json.dumps({**text, **document}), encoding="utf-8")


def _of_stack(before: str, names: list[str]) -> Iterator[tuple[str, Callable[[Path], object]]]:
    last = max(int(found[2]) for name in names if (found := _LAYER.match(name)) and found[1] == before)
    first = next(found[3] for name in names if (found := _LAYER.match(name)) and found[1] == before)
    more = f"{before}{last + 1}."
    yield (
        f"no {before}{last}",
        _tensors(lambda all_: {name: t for name, t in all_.items() if not name.startswith(f"{before}{last}.")}),
    )
    yield f"a layer {more} more", _tensors(lambda all_: all_ | {
        more + name.removeprefix(f"{before}{last}."): t.clone() for name, t in all_.items()
        if name.startswith(f"{before}{last}.")
    })  # fmt: skip
    place = f"{before}{last}{first}".rpartition(".")[0]
    yield f"{place}.extra more", _tensors(lambda all_: all_ | {f"{place}.extra": torch.ones(48)})


def _numbers(document: dict[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[list[str], int]]:
    sizes = re.compile(r"size|dim|layers|heads|depth|d_|_ffn|positions|bins|experts|channels|ratio")
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _numbers(value, (*before, name))
        elif type(value) is int and value > 0 and sizes.search(name):
            yield [*before, name], value


def _set(folder: Path, path: list[str], value: object) -> None:
    file = folder / "config.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    at = document
    for one in path[:-1]:
        at = at[one]
    at[path[-1]] = value
    file.write_text(json.dumps(document), encoding="utf-8")


def _tensors(change: Callable[[Tensors], Tensors]) -> Callable[[Path], object]:
    def run(path: Path) -> None:
        file = path / "model.safetensors"
        held = {name: one.contiguous().clone() for name, one in change(load_file(file)).items()}
        save_file(held, file, metadata={"format": "pt"})

    return run


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
