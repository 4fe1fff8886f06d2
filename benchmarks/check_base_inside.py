"""Makes bases, and bases with one thing changed, and loads each with an adapter by the libraries of this interpreter.

    PYTHON check_base_inside.py FOLDER

Writes FOLDER/cases.json: of each case the base, the adapter, what was changed, and what became of it: `ok`; `raises`
with the error; `loses` where transformers made a tensor at random, the merged model holds what is not finite, or the
tokenizer has ids without a row; `unread` where tensors of the files were left out; `differs` where the merged model or
the tokenizer answers otherwise than before.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()

Tensors = dict[str, torch.Tensor]
# A config may ask for a model of any size: 9 GiB are enough for these.
_MEMORY = 9 << 30
_SIZES: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 300, "intermediate_size": 128,
    "num_key_value_heads": 2,
}  # fmt: skip
# Values of other types and sizes, tried in every field of config.json.
_VALUES: tuple[Any, ...] = (None, "x", -1, 0, 2.5, True, [], {}, ["q_proj"], 1, 3, 7, 128)
_OF_QWEN2 = (
    "tie_word_embeddings",
    "model_type",
    "architectures",
    "layer_types",
    "sliding_window",
    "use_sliding_window",
)
_LINE = "the quick brown fox jumps over the lazy dog"
_INDEX = "model.safetensors.index.json"
_Q = "model.layers.0.self_attn.q_proj.weight"


def main(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    cases = []
    for name, base in _made(folder):
        adapter = folder / f"{name}.lora"
        healthy = _tried(base, adapter, None)
        if not isinstance(healthy, tuple):
            raise SystemExit(f"{name}: {healthy}")
        for what, change in _changes(name, base):
            path = folder / f"{name}.{len(cases)}"
            shutil.copytree(base, path)
            change(path)
            found = _tried(path, adapter, healthy)
            cases.append({"base": path.name, "adapter": adapter.name, "what": what, "peft": found})
    versions = {one.__name__: one.__version__ for one in (peft, transformers, torch)}
    (folder / "cases.json").write_text(json.dumps({"versions": versions, "cases": cases}), encoding="utf-8")


def _made(folder: Path) -> Iterator[tuple[str, Path]]:
    torch.manual_seed(0)
    t = transformers
    bases: tuple[tuple[str, Any, dict[str, Any]], ...] = (
        ("llama", t.LlamaForCausalLM(t.LlamaConfig(**_SIZES)), {}),
        ("llama-sharded", t.LlamaForCausalLM(t.LlamaConfig(**_SIZES)), {"max_shard_size": "100KB"}),
        ("qwen2-tied", t.Qwen2ForCausalLM(t.Qwen2Config(**_SIZES, tie_word_embeddings=True)), {}),
    )
    for name, model, options in bases:
        base = folder / name
        model.save_pretrained(base, **options)
        config = peft.LoraConfig(task_type="CAUSAL_LM", r=8, target_modules=["q_proj", "v_proj"])
        wrapped = peft.get_peft_model(type(model).from_pretrained(base), config)
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.data = torch.randn(parameter.shape) * 0.02
        wrapped.save_pretrained(folder / f"{name}.lora")
        _tokenizer().save_pretrained(base)
        yield name, base


def _tokenizer() -> Any:
    """Bytes and what is frequent in a line, 260 tokens of the 300 that the embedding has rows for."""
    words = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    made = Tokenizer(models.BPE(unk_token=words["unk_token"]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=260, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator([_LINE] * 9, trainer)
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=made, **words)
    wrapped.chat_template = "{% for one in messages %}{{ one['content'] }}{% endfor %}"
    return wrapped


def _read(base: Path) -> tuple[Any, int]:
    """What the tokenizer makes of a line, and its highest id."""
    held = transformers.AutoTokenizer.from_pretrained(base)
    ids = held(_LINE)["input_ids"]
    asked = held.apply_chat_template([{"role": "user", "content": _LINE}], tokenize=False)
    own = (held.bos_token, held.eos_token, held.pad_token, held.unk_token)
    return (ids, held.decode(ids), asked, own), max(held.get_vocab().values())


def _tried(base: Path, adapter: Path, healthy: tuple[torch.Tensor, Any] | None) -> Any:
    """What becomes of it; of a healthy base the answers of the merged model and of the tokenizer."""
    try:
        model, told = transformers.AutoModelForCausalLM.from_pretrained(base, output_loading_info=True)
        loaded = peft.PeftModel.from_pretrained(model, adapter)
        merged = loaded.merge_and_unload().state_dict()
        out = model(torch.arange(8).unsqueeze(0)).logits
        read, top = _read(base)
    except Exception as error:  # noqa: BLE001  whatever it is, the case is that it raises
        return f"raises {type(error).__name__}: {str(error)[:200]}"
    missing, unread = sorted(told["missing_keys"]), sorted(told["unexpected_keys"])
    real = {name: one for name, one in merged.items() if not one.is_meta}
    broken = [name for name, one in real.items() if not bool(torch.isfinite(one.float()).all())]
    for names, what in (
        (missing, "loses {}: not in the files"),
        (broken, "loses {}: not finite"),
        (unread, "unread {}:"),
    ):
        if names:
            return f"{what.format(len(names))} {names[0]}"
    if top >= _SIZES["vocab_size"]:
        return f"loses tokens: ids up to {top}"
    if healthy is None:
        return out, read
    return "ok" if torch.equal(out, healthy[0]) and read == healthy[1] else "differs"


def _changes(name: str, base: Path) -> Iterator[tuple[str, Callable[[Path], object]]]:
    yield from _of_config(name, base)
    for what, change in _TENSORS.items():
        yield f"weights: {what}", _tensors(change)
    last = sorted(base.glob("*.safetensors"))[-1].name
    for what, edit in _FILES.items():
        yield f"file: {what}", lambda path, edit=edit: edit(path / last)
    for what, document in _SET.items():
        yield f"config.json: {what}", lambda path, document=document: _set(path / "config.json", document)
    for what, text in _TEXTS.items():
        yield f"config.json: {what}", lambda path, text=text: _rewritten(path / "config.json", text)
    for kind in ("mistral", "gpt2", "bert", "t5", "llava", "qwen2", "qwen3", "gemma2", "mixtral", "nope", "LLaMA"):
        yield f"model_type {kind}", lambda path, kind=kind: _set(path / "config.json", {"model_type": kind})
    for what, text in {"broken": "{", "a list": "[]", "a value": '{"max_new_tokens": -3}'}.items():
        yield f"generation_config.json: {what}", lambda path, t=text: (path / "generation_config.json").write_text(t)
    if name == "llama":
        yield from _of_tokenizer(base)
    if (base / _INDEX).exists():
        for what, fields in _OF_INDEX.items():
            yield f"index: {what}", lambda path, fields=fields: _indexed(path / _INDEX, fields)


def _of_config(name: str, base: Path) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Every field with values of other types, or left out."""
    if name == "llama-sharded":
        return
    for field in json.loads((base / "config.json").read_text(encoding="utf-8")):
        if name == "llama" or field in _OF_QWEN2:
            for value in _VALUES:
                yield (
                    f"{field} = {json.dumps(value)}",
                    lambda path, f=field, v=value: _set(path / "config.json", {f: v}),
                )
            yield f"{field} absent", lambda path, f=field: _set(path / "config.json", {}, without=f)


def _of_tokenizer(base: Path) -> Iterator[tuple[str, Callable[[Path], object]]]:
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        for what, text in _TEXTS.items():
            yield f"{file}: {what}", lambda path, file=file, text=text: _rewritten(path / file, text)
    for file, values in (("tokenizer_config.json", _VALUES), ("tokenizer.json", (None, "x", [], {}))):
        for field in json.loads((base / file).read_text(encoding="utf-8")):
            for value in values:
                what = f"{file}: {field} = {json.dumps(value)}"
                yield what, lambda path, file=file, f=field, v=value: _set(path / file, {f: v})
            yield f"{file}: {field} absent", lambda path, file=file, f=field: _set(path / file, {}, without=f)
    yield (
        "tokenizer_config.json: a list of tokens",
        lambda path: _set(path / "tokenizer_config.json", {"extra_special_tokens": ["<x>"]}),
    )
    for what, change in _OF_MODEL.items():
        yield f"tokenizer.json: {what}", lambda path, change=change: _indexed(path / "tokenizer.json", change)


def _set(file: Path, fields: dict[str, Any], *, without: str = "") -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    document.pop(without, None)
    file.write_text(json.dumps(document | fields), encoding="utf-8")


def _rewritten(file: Path, text: Callable[[str], str | bytes | None]) -> None:
    made = text(file.read_text(encoding="utf-8"))
    file.unlink()
    if made is not None:
        file.write_bytes(made if isinstance(made, bytes) else made.encode())


def _indexed(file: Path, fields: Callable[[dict[str, Any]], Any]) -> None:
    file.write_text(json.dumps(fields(json.loads(file.read_text(encoding="utf-8")))), encoding="utf-8")


def _tensors(change: Callable[[Tensors], Tensors]) -> Callable[[Path], object]:
    def run(path: Path) -> None:
        for file in sorted(path.glob("*.safetensors")):
            held = {name: one.contiguous() for name, one in change(load_file(file)).items()}
            save_file(held, file, metadata={"format": "pt"})

    return run


def _without(part: str) -> Callable[[Tensors], Tensors]:
    return lambda all_: {name: one for name, one in all_.items() if part not in name}


def _before(text: str) -> Callable[[Tensors], Tensors]:
    return lambda all_: {text + name: one for name, one in all_.items()}


def _each(change: Callable[[torch.Tensor], torch.Tensor], where: str = "") -> Callable[[Tensors], Tensors]:
    return lambda all_: {name: change(one) if where in name else one for name, one in all_.items()}


def _and(name: str, *shape: int) -> Callable[[Tensors], Tensors]:
    """One tensor more, next to the first attention's."""
    return lambda all_: all_ | ({name: torch.ones(shape)} if _Q in all_ else {})


_TENSORS: dict[str, Callable[[Tensors], Tensors]] = {
    **{f"no {part}": _without(part) for part in (
        "lm_head", "embed_tokens", "model.norm", "layers.0.self_attn.q_proj", "layers.1.mlp.up_proj", "layers.1.")},
    **{f"{text} in front": _before(text) for text in (
        "module.", "language_model.", "base_model.model.", "_orig_mod.", "_fsdp_wrapped_module.")},
    "no model. in front": lambda all_: {name.removeprefix("model."): one for name, one in all_.items()},
    "base_layer": lambda all_: {n.replace("q_proj.weight", "q_proj.base_layer.weight"): o for n, o in all_.items()},
    "Meta's names": lambda all_: {n.replace("self_attn.q_proj", "attention.wq"): o for n, o in all_.items()},
    "NaN in one": _each(lambda one: one * float("nan"), "layers.0.self_attn.q_proj"),
    "NaN in all": _each(lambda one: one * float("nan")), "infinity in one": _each(lambda one: one / 0, "1.mlp.up_proj"),
    "transposed": _each(lambda one: one.T, "k_proj"), "flat": _each(torch.Tensor.flatten),
    "no elements": _each(lambda _: torch.zeros(0), "q_proj"), "no elements at all": _each(lambda _: torch.zeros(0)),
    "no tensor": lambda _: {}, "half of the rows": _each(lambda one: one[:150], "embed_tokens"),
    "more rows": lambda all_: {
        n: torch.cat([o, o[:20]]) if "embed_tokens" in n or "lm_head" in n else o for n, o in all_.items()},
    "wider gate": _each(lambda one: torch.cat([one, one[:64]]), "gate_proj"),
    "int8": _each(lambda one: (one * 100).to(torch.int8)), "fp8": _each(lambda one: one.to(torch.float8_e4m3fn)),
    "bf16": _each(lambda one: one.to(torch.bfloat16)), "float64": _each(lambda one: one.to(torch.float64)),
    "one more": _and("extra.weight", 3), "a bias more": _and("model.layers.0.self_attn.q_proj.bias", 64),
    "a LoRA inside": _and("model.layers.0.self_attn.q_proj.lora_A.weight", 8, 64),
    "rotary angles": _and("model.layers.0.self_attn.rotary_emb.inv_freq", 8),
    "a third layer": lambda all_: all_ | {
        name.replace("layers.1.", "layers.2."): one.clone() for name, one in all_.items() if "layers.1." in name},
}  # fmt: skip
_POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"


def _as_pickle(file: Path, name: str, *, cut: int | None = None) -> None:
    """All weights in one pickle, and none in safetensors."""
    whole: Tensors = {}
    for one in sorted(file.parent.glob("*.safetensors")):
        whole |= load_file(one)
        one.unlink()
    (file.parent / _INDEX).unlink(missing_ok=True)
    torch.save(whole, file.parent / name)
    if cut is not None:
        (file.parent / name).write_bytes((file.parent / name).read_bytes()[:cut])


_FILES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink, "cut off": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "its beginning alone": lambda file: file.write_bytes(file.read_bytes()[:50]),
    "0 bytes": lambda file: file.write_bytes(b""),
    "4 bytes more": lambda file: file.write_bytes(file.read_bytes() + b"x" * 4),
    "a pointer": lambda file: file.write_text(_POINTER),
    "a web page": lambda file: file.write_text("<!doctype html><html>"),
    "a pickle by this name": lambda file: torch.save({"a": torch.ones(3)}, file),
    "without metadata": lambda file: save_file(load_file(file), file),
    "of mlx": lambda file: save_file(load_file(file), file, metadata={"format": "mlx"}),
    "of another name": lambda file: file.rename(file.with_name("weights.safetensors")),
    "pytorch_model.bin": lambda file: _as_pickle(file, "pytorch_model.bin"),
    "pytorch_model.bin, cut off": lambda file: _as_pickle(file, "pytorch_model.bin", cut=9000),
    "consolidated.00.pth": lambda file: _as_pickle(file, "consolidated.00.pth"),
}  # fmt: skip
_SET: dict[str, dict[str, Any]] = {
    "quantized by bitsandbytes": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
    "quantized by nothing": {"quantization_config": {}},
    "code that is not there": {"auto_map": {"AutoModelForCausalLM": "x.X"}},
    "rope of no kind": {"rope_scaling": {"type": "nope", "factor": 2.0}},
    "rope, dynamic": {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
    "rope, half of llama3's": {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
    "another head's class": {"architectures": ["LlamaForSequenceClassification"]},
    "another type's class": {"architectures": ["MistralForCausalLM"]},
}  # fmt: skip
_TEXTS: dict[str, Callable[[str], str | bytes | None]] = {
    "gone": lambda _: None, "empty": lambda _: "", "{}": lambda _: "{}", "a list": lambda _: "[]",
    "UTF-8 with BOM": lambda text: b"\xef\xbb\xbf" + text.encode(), "UTF-16": lambda text: text.encode("utf-16"),
    "NaN": lambda text: text.replace("1e-06", "NaN"), "a comment": lambda text: f"// x\n{text}",
    "a comma too many": lambda text: text.rstrip().rstrip("}").rstrip() + ",\n}",
}  # fmt: skip


def _with_model(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda document: {**document, "model": document["model"] | fields}


_FAR = {"id": 5000, "content": "<far>", "special": True, "lstrip": False, "rstrip": False, "normalized": False,
        "single_word": False}  # fmt: skip
_OF_MODEL: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a model of no type": _with_model(type="Nope"), "no tokens": _with_model(vocab={}),
    "a token beyond": lambda held: {**held, "added_tokens": [*held["added_tokens"], _FAR | {"id": len(_LINE) + 400}]},
    "an id far beyond": lambda held: _with_model(vocab=held["model"]["vocab"] | {"the": 5000})(held),
    "an id below 0": lambda held: _with_model(vocab=held["model"]["vocab"] | {"zz": -5})(held),
    "merges as texts": lambda held: _with_model(merges=[" ".join(one) for one in held["model"]["merges"]])(held),
    "a merge of no tokens": lambda held: _with_model(merges=[*held["model"]["merges"], ["zz", "qq"]])(held),
    "a part of no type": lambda held: {**held, "pre_tokenizer": {"type": "Nope"}},
    "another version": lambda held: {**held, "version": "2.0"},
}  # fmt: skip


def _with_map(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], Any]:
    return lambda index: {**index, "weight_map": change(dict(index["weight_map"]))}


_OF_INDEX: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda _: [], "{}": lambda _: {}, "without metadata": lambda index: {"weight_map": index["weight_map"]},
    "one left out": _with_map(lambda held: {name: file for name, file in held.items() if name != _Q}),
    "one more": _with_map(lambda held: held | {"nothing.weight": held[_Q]}),
    "a file that is not there": _with_map(lambda held: held | {"nothing.weight": "model-00099-of-00099.safetensors"}),
    "files above": _with_map(lambda held: {name: f"../{file}" for name, file in held.items()}),
    "numbers": _with_map(lambda held: dict.fromkeys(held, 1)),
}  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
