"""Runs inside one environment: tiny models and adapters, merged right in many ways and wrong in many ways, each held
against base and adapter by the verb `prove`. Started by faults.py; Python 3.8 syntax, only what the environment holds.

    python faults_inside.py WORKERS_FOLDER SCRATCH_FOLDER RESULT.jsonl [MODEL/KIND/DTYPE,…]

Cells that RESULT.jsonl holds whole are not run again.

Faults are planted where they come from in practice: peft itself merges an adapter whose alpha, sign or factors are
wrong, or into another base; the rest is done to the merged files.
"""

import importlib.util
import inspect
import json
import os
import shutil
import sys
import time
import traceback

import peft
import torch
import transformers
from packaging.version import Version
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
PEFT = Version(peft.__version__)
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
ALPHA = 7
# model, kind of adapter, tied tables
KINDS = (
    ("llama", "lora", False), ("llama", "rslora", False), ("llama", "patterns", False), ("llama", "dora", False),
    ("llama", "embedding", False), ("llama", "save-both", False), ("llama", "grown-saved", False),
    ("llama", "tokens", False), ("llama", "lora", True), ("qwen2", "lora-bias", False), ("gpt2", "lora", False),
    ("gpt2", "dora", False), ("bert", "lora", False), ("t5", "lora", False), ("convnet", "lora", False),
    ("llama", "ia3", False), ("llama", "oft", False), ("llama", "loha", False), ("llama", "lokr", False),
    ("gpt_oss", "parameters", False), ("qwen3_moe", "parameters", False), ("llama", "pissa", False),
    ("llama", "olora", False),
)  # fmt: skip


def load(name, path, package=False):
    spec = importlib.util.spec_from_file_location(
        name, path, submodule_search_locations=[os.path.dirname(path)] if package else None
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Quiet:
    def __getattr__(self, _name):
        return lambda *_arguments, **_options: None


grid = load("grid_inside", os.path.join(HERE, "grid_inside.py"))


# merging -------------------------------------------------------------------------------------------------------------


class Case:
    """A base and an adapter in a folder, and what peft makes of them."""

    def __init__(self, folder, model, kind, dtype, tied):
        self.folder, self.model, self.kind, self.dtype, self.tied = folder, model, kind, dtype, tied
        self.base, self.adapter = os.path.join(folder, "base"), os.path.join(folder, "adapter")
        factory, _, options = kinds(model)[kind]
        self.rows = options.get("rows") or 0
        grid.make_base(self.base, model, DTYPES[dtype], tied, False)
        config = factory()
        grid.make_adapter(self.adapter, self.base, model, config, self.rows)
        self._tell_layers_apart()
        self.merged = self.by_peft("merged")

    def _tell_layers_apart(self):
        """grid.py gives factors of one name the same noise in every layer."""
        path = os.path.join(self.adapter, "adapter_model.safetensors")
        tensors = load_file(path)
        for number, name in enumerate(sorted(tensors)):
            if "lora_B" in name or "lora_embedding_B" in name:
                noise = torch.randn(tensors[name].shape, generator=torch.Generator().manual_seed(number)) * 0.05
                tensors[name] = noise.to(tensors[name].dtype)
        save_file(tensors, path, metadata={"format": "pt"})

    def path(self, name):
        path = os.path.join(self.folder, name)
        if os.path.exists(path):
            shutil.rmtree(path)
        return path

    def by_peft(self, name, base=None, adapter=None, dtype=None, save=None, safe=False, **options):
        """Merged by peft: into a base loaded as `dtype`, saved as `save`."""
        wanted, _ = grid.MODELS[self.model][0](False)
        given = "dtype" if Version("4.56") <= Version(transformers.__version__) else "torch_dtype"
        whole = wanted.from_pretrained(base or self.base, **{given: DTYPES[dtype] if dtype else "auto"}).eval()
        if self.rows:
            whole.resize_token_embeddings(self.rows)
        adapted = peft.PeftModel.from_pretrained(whole, adapter or self.adapter, **options).eval()
        merged = adapted.merge_and_unload(safe_merge=safe)
        if save:
            merged = merged.to(DTYPES[save])
        for parameter in merged.parameters():
            parameter.data = parameter.data.contiguous()
        out = self.path(name)
        merged.save_pretrained(out)
        return out

    def other_adapter(self, change=None, config=None, seed=None):
        """A copy of the adapter with `change(tensors)` made to its tensors, and `config` to its config."""
        out = self.path("adapter-other")
        shutil.copytree(self.adapter, out)
        path = os.path.join(out, "adapter_model.safetensors")
        tensors = load_file(path)
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            tensors = {
                n: (torch.randn(t.shape, generator=generator) * t.float().std()).to(t.dtype) for n, t in tensors.items()
            }
        if change is not None:
            tensors = change(tensors)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
        if config is not None:
            with open(os.path.join(out, "adapter_config.json")) as stream:
                document = json.load(stream)
            config(document)
            with open(os.path.join(out, "adapter_config.json"), "w") as stream:
                json.dump(document, stream)
        return out

    def edited(self, change, name="edited", config=None, source=None):
        """The merged files with `change(tensors)` made to them."""
        out = self.path(name)
        shutil.copytree(source or self.merged, out)
        path = os.path.join(out, "model.safetensors")
        tensors = change(load_file(path))
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata={"format": "pt"})
        if config:
            with open(os.path.join(out, "config.json")) as stream:
                document = json.load(stream)
            document.update(config)
            with open(os.path.join(out, "config.json"), "w") as stream:
                json.dump(document, stream)
        return out

    def tensors(self, folder):
        return load_file(os.path.join(folder, "model.safetensors"))

    def changed(self):
        """Names of matrices that the merge changed, in order."""
        before, after = self.tensors(self.base), self.tensors(self.merged)
        return [n for n in sorted(after) if n in before and before[n].shape == after[n].shape and after[n].dim() >= 2
                and not torch.equal(before[n], after[n].to(before[n].dtype))]  # fmt: skip


def kinds(model):
    table = grid.adapters(model)
    targets, task = grid.MODELS[model][1], grid.MODELS[model][2]
    if model == "llama":
        for name in ("pissa", "olora"):
            table[name] = (lambda name=name: grid.lora(targets, task, init_lora_weights=name), "0.12", {})
    return table


def prove(case, merged):
    from envpin_worker import requests
    from envpin_worker.prove import prove as verb

    with open(os.path.join(merged, "config.json")) as stream:
        config = json.load(stream)
    with open(os.path.join(case.base, "config.json")) as stream:
        base = json.load(stream)
    rows = case.rows
    request = requests.ProveRequest(
        base=requests.WeightFiles(case.base, ("model.safetensors",)),
        adapter=requests.WeightFiles(case.adapter, ("adapter_model.safetensors",)),
        merged=requests.WeightFiles(merged, tuple(sorted(n for n in os.listdir(merged) if n.endswith(".safetensors")))),
        base_is_tied=base.get("tie_word_embeddings", True),
        merged_is_tied=config.get("tie_word_embeddings", True),
        embedding=requests.EmbeddingFit("grow", rows) if rows else requests.EmbeddingFit(),
        architecture=grid.MODELS[case.model][0](False)[0].__name__,
    )
    return verb.run(request, Quiet())


def ask(case, merged):
    """Ratio, what rounding explains of it, or why there is none: as `replay merge` asks."""
    from envpin_worker import requests
    from envpin_worker.probe import stream_answers

    fit = requests.EmbeddingFit("grow", case.rows) if case.rows else requests.EmbeddingFit()
    found = stream_answers.run(
        requests.StreamAnswersRequest(
            base=case.base,
            adapter=case.adapter,
            merged=merged,
            scratch=case.folder,
            embedding=fit,
            architecture=grid.MODELS[case.model][0](False)[0].__name__,
        ),
        Quiet(),
    )
    if found.probe is None:
        return {"note": found.probe_note}
    return {"ratio": found.probe.ratio, "expected": found.probe.expected}


def by_deltalint(case, merged):
    """What deltalint says of the same folders, where ENVPIN_DELTALINT names a folder that it is installed in."""
    if os.environ["ENVPIN_DELTALINT"] not in sys.path:
        sys.path.append(os.environ["ENVPIN_DELTALINT"])
    import deltalint

    began = time.perf_counter()
    try:
        report = deltalint.check_merge(case.base, case.adapter, merged)
    except Exception as error:
        return {"verdict": "error", "reason": "%s: %s" % (type(error).__name__, str(error)[:200])}
    named = sorted({layer.diagnosis for layer in report.failures()} - {None})
    return {"verdict": report.verdict.value, "named": named, "s": round(time.perf_counter() - began, 3)}


# right merges --------------------------------------------------------------------------------------------------------


def healthy(case):
    """name -> folder of a right merge."""
    wide = case.kind in ("lora", "rslora", "patterns", "dora", "lora-bias")
    plain = case.kind in ("lora", "rslora", "patterns") and case.model in ("llama", "qwen2")
    yield "peft", lambda: case.merged
    yield "peft, safe_merge", lambda: case.by_peft("other", safe=True)
    if case.model != "convnet" and not (case.tied and case.kind in ("embedding", "head")):
        yield "envpin stream", lambda: by_stream(case)
    if wide and "autocast_adapter_dtype" in inspect.signature(peft.PeftModel.from_pretrained).parameters:
        yield "peft, adapter in the base's dtype", lambda: case.by_peft("other", autocast_adapter_dtype=False)
    if case.dtype != "fp32" and wide:
        yield "peft in fp32, saved in fp32", lambda: case.by_peft("other", dtype="fp32")
        yield "peft in fp32, saved in the base's dtype", lambda: case.by_peft("other", dtype="fp32", save=case.dtype)
    if case.dtype == "fp32" and wide:
        yield "peft in bf16", lambda: case.by_peft("other", dtype="bf16")
        yield "peft in fp16", lambda: case.by_peft("other", dtype="fp16")
        yield "peft in fp32, saved in bf16", lambda: case.by_peft("other", save="bf16")
    if case.dtype == "bf16" and wide:
        yield "peft in fp16, saved in fp16", lambda: case.by_peft("other", dtype="fp16")
    if plain:
        yield "by formula, the change rounded first", lambda: by_formula(case, True)
        yield "by formula, in fp32", lambda: by_formula(case, False)
    if not case.tied:
        yield "peft, read and saved once more", lambda: case.edited(dict)


def by_stream(case):
    out = case.path("stream")
    os.makedirs(out)
    from envpin_worker import requests
    from envpin_worker.stream import engine

    wanted, _ = grid.MODELS[case.model][0](False)
    fit = requests.EmbeddingFit("grow", case.rows) if case.rows else requests.EmbeddingFit()
    request = requests.StreamMergeRequest(
        base=case.base, adapter=case.adapter, out=out, architecture=wanted.__name__, embedding=fit
    )
    result = engine.run(request, Quiet())
    with open(os.path.join(case.base, "config.json")) as stream:
        config = json.load(stream)
    config.update(result.config_updates)
    with open(os.path.join(out, "config.json"), "w") as stream:
        json.dump(config, stream)
    return out


def by_formula(case, rounded):
    """As programs without peft merge: W + s·B·A, with the change rounded to the weight's dtype first or not."""
    with open(os.path.join(case.adapter, "adapter_config.json")) as stream:
        config = json.load(stream)
    factors = load_file(os.path.join(case.adapter, "adapter_model.safetensors"))

    def change(tensors):
        for name, a in factors.items():
            if not name.endswith("lora_A.weight"):
                continue
            module = name[len("base_model.model.") : -len(".lora_A.weight")]
            b = factors[name.replace("lora_A", "lora_B")]
            alpha = config["lora_alpha"]
            for key, value in (config.get("alpha_pattern") or {}).items():
                alpha = value if module.endswith(key) else alpha
            scale = alpha / (a.shape[0] ** 0.5 if config.get("use_rslora") else a.shape[0])
            weight = tensors[module + ".weight"]
            delta = scale * (b.float() @ a.float())
            if rounded:
                tensors[module + ".weight"] = weight + delta.to(weight.dtype)
            else:
                tensors[module + ".weight"] = (weight.float() + delta).to(weight.dtype)
        return tensors

    return case.edited(change, "formula", source=case.base)


# wrong merges --------------------------------------------------------------------------------------------------------


def faulty(case):
    """name -> (folder of a wrong merge, causes that fit)."""
    factors = case.kind in ("lora", "rslora", "patterns", "embedding", "lora-bias") and case.model != "convnet"
    plain = factors and case.model in ("llama", "qwen2", "t5")
    scales = case.kind in (
        "lora",
        "rslora",
        "embedding",
        "lora-bias",
        "dora",
        "loha",
        "lokr",
        "parameters",
        "pissa",
        "olora",
    )

    yield "not applied", lambda: case.edited(back_to(case, None), source=case.merged), {"not-applied", "other-values"}
    yield "one layer left out", lambda: case.edited(back_to(case, 1)), {"not-applied"}
    yield (
        "wrong base",
        lambda: case.by_peft("other", base=another_base(case, 0.05)),
        {"other-base", "differs-from-base", "other-change"},
    )
    yield (
        "a base fine-tuned a little",
        lambda: case.by_peft("other", base=another_base(case, 0.002)),
        {"other-base", "differs-from-base", "other-change"},
    )
    yield (
        "other adapter",
        lambda: case.by_peft("other", adapter=case.other_adapter(seed=7)),
        {"other-change", "other-values", "other-base"},
    )
    yield "missing tensor", lambda: case.edited(without(case)), {"missing"}
    yield "extra tensor", lambda: case.edited(lambda t: {**t, "model.extra.weight": torch.ones(4, 4)}), {"extra"}
    yield "NaN in one element", lambda: case.edited(poisoned(case)), {"not-finite"}
    yield "one untouched value off by one bit", lambda: case.edited(one_bit(case)), {"differs-from-base", "wrong-rows"}
    if scales:
        # PiSSA takes the root of its scale on loading.
        for factor in (1.001, 0.5, 2, 1.01) if case.kind == "pissa" else (1.001, 0.5, 2, -1, 1.01):
            causes = {2: "applied-twice", -1: "sign"}
            words = {"wrong-scale", causes.get(factor, "wrong-scale")}
            if case.kind in ("dora", "pissa", "olora", "embedding", "loha", "lokr", "parameters"):
                words |= {"other-change", "other-base", "differs-from-base"}
            yield (
                "change times %s" % factor,
                lambda f=factor: case.by_peft("other", adapter=case.other_adapter(config=alpha(f))),
                words,
            )
    if plain:
        yield "applied twice", lambda: case.by_peft("other", base=case.merged), {"applied-twice"}
        yield (
            "wrong alpha",
            lambda: case.by_peft("other", adapter=case.other_adapter(config=set_alpha(16))),
            {"wrong-scale"},
        )
        yield (
            "rslora the other way",
            lambda: case.by_peft("other", adapter=case.other_adapter(config=flip("use_rslora"))),
            {"wrong-scale", "applied-twice"},
        )
        yield (
            "A and B of two layers swapped",
            lambda: case.by_peft("other", adapter=case.other_adapter(swapped("lora_"))),
            {"other-layer"},
        )
        yield (
            "B of two layers swapped",
            lambda: case.by_peft("other", adapter=case.other_adapter(swapped("lora_B"))),
            {"factors-swapped"},
        )
        yield (
            "half of the ranks lost",
            lambda: case.by_peft("other", adapter=case.other_adapter(half_rank)),
            {"rank-lost"},
        )
        yield "requantized to 4 bit", lambda: case.edited(through_nf4(case, True)), {"requantized"}
        yield "base from 4 bit", lambda: case.by_peft("other", base=through(case)), {"requantized"}
        yield "requantized to 8 bit", lambda: case.edited(through_nf4(case, False)), {"requantized"}
        if case.dtype == "bf16":
            yield "rounded twice", lambda: case.by_peft("other", dtype="fp16", save="bf16"), {"rounded-twice"}
        if case.dtype == "fp16":
            yield "rounded twice", lambda: case.by_peft("other", dtype="bf16", save="fp16"), {"rounded-twice"}
        if case.dtype == "fp32":
            yield "precision lost", lambda: case.by_peft("other", dtype="bf16", save="fp32"), {"precision-lost"}
    if case.kind == "patterns":
        yield (
            "alpha_pattern ignored",
            lambda: case.by_peft("other", adapter=case.other_adapter(config=empty("alpha_pattern"))),
            {"wrong-scale"},
        )
    if case.kind in ("pissa", "olora"):
        yield (
            "initial change not taken off",
            lambda: case.by_peft("other", adapter=case.other_adapter(config=set_start)),
            {"other-base", "other-change", "wrong-scale", "requantized"},
        )
    if case.kind in ("embedding", "save-both", "grown-saved", "tokens"):
        yield "one row of the embedding", lambda: case.edited(one_row(3)), {"wrong-rows", "other-values"}
        yield (
            "another row of the embedding",
            lambda: case.edited(one_row(77)),
            {"wrong-rows", "other-values", "differs-from-base"},
        )
    if case.tied and case.kind == "lora":
        yield "head untied", lambda: case.edited(untied(case)), {"head-untied"}
    if not case.tied and case.model in ("llama", "qwen2"):
        yield "head tied", lambda: case.edited(tied, config={"tie_word_embeddings": True}), {"missing", "head-tied"}


def back_to(case, count):
    names, base = case.changed(), case.tensors(case.base)
    wanted = names if count is None else names[len(names) // 2 :][:count]

    def change(tensors):
        for name in wanted:
            tensors[name] = base[name].to(tensors[name].dtype)
        return tensors

    return change


def another_base(case, size):
    def change(tensors):
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(len(name)))
                tensors[name] = (
                    tensor.float() + size * tensor.float().std().nan_to_num(0.01).clamp_min(0.01) * noise
                ).to(tensor.dtype)
        return tensors

    return case.edited(change, "base-other", source=case.base)


def without(case):
    return lambda tensors: {name: one for name, one in tensors.items() if name != case.changed()[0]}


def poisoned(case):
    def change(tensors):
        tensors[case.changed()[-1]].view(-1)[5] = float("nan")
        return tensors

    return change


def one_bit(case):
    """The last bit of one value of a tensor that the adapter leaves alone."""
    touched = set(case.changed())
    base = case.tensors(case.base)

    def change(tensors):
        name = next(n for n in sorted(tensors) if n not in touched and n in base and tensors[n].is_floating_point()
                    and torch.equal(tensors[n], base[n].to(tensors[n].dtype)))  # fmt: skip
        kind = torch.int16 if tensors[name].element_size() == 2 else torch.int32
        tensors[name].view(-1).view(kind)[0] ^= 1
        return tensors

    return change


def alpha(factor):
    def change(config):
        for key in ("lora_alpha", "alpha"):
            if config.get(key) is not None:
                config[key] = config[key] * factor
        config["alpha_pattern"] = {key: value * factor for key, value in (config.get("alpha_pattern") or {}).items()}

    return change


def set_alpha(value):
    return lambda config: config.update(lora_alpha=value)


def set_start(config):
    config["init_lora_weights"] = True


def flip(name):
    return lambda config: config.update({name: not config.get(name)})


def empty(name):
    return lambda config: config.update({name: {}})


def swapped(part):
    """The factors of two layers exchanged, wherever both have the same shapes."""

    def change(tensors):
        found = dict(tensors)
        for name in tensors:
            pieces = name.split(".")
            number = next((place for place, piece in enumerate(pieces) if piece in ("0", "1")), None)
            if number is None or part not in name:
                continue
            pieces[number] = "1" if pieces[number] == "0" else "0"
            other = ".".join(pieces)
            if other in tensors and tensors[other].shape == tensors[name].shape:
                found[name] = tensors[other]
        return found

    return change


def half_rank(tensors):
    for name, tensor in tensors.items():
        if name.endswith("lora_B.weight"):
            tensor[:, tensor.shape[1] // 2 :] = 0
    return tensors


def nf4(weight):
    codes = torch.tensor([
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634,
        0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ])  # fmt: skip
    blocks = weight.float().reshape(-1, 64)
    scale = blocks.abs().amax(dim=1, keepdim=True)
    nearest = (blocks / scale)[..., None].sub(codes).abs().argmin(dim=-1)
    return (codes[nearest] * scale).reshape(weight.shape).to(weight.dtype)


def int8(weight):
    scale = weight.float().abs().amax(dim=1, keepdim=True) / 127
    return ((weight.float() / scale).round() * scale).to(weight.dtype)


def through_nf4(case, four):
    names = case.changed()

    def change(tensors):
        for name in names:
            if tensors[name].dim() == 2 and tensors[name].numel() % 64 == 0:
                tensors[name] = nf4(tensors[name]) if four else int8(tensors[name])
        return tensors

    return change


def through(case):
    names = case.changed()
    return case.edited(
        lambda t: {n: nf4(v) if n in names and v.dim() == 2 else v for n, v in t.items()},
        "base-other",
        source=case.base,
    )


def one_row(row):
    def change(tensors):
        name = next(n for n in sorted(tensors) if "embed_tokens" in n)
        tensors[name][row] = tensors[name][row] * 1.01 + 0.001
        return tensors

    return change


def untied(case):
    def change(tensors):
        table = tensors["model.embed_tokens.weight"]
        tensors["lm_head.weight"] = table + (0.01 * torch.randn(table.shape)).to(table.dtype)
        return tensors

    return change


def tied(tensors):
    return {name: tensor for name, tensor in tensors.items() if name != "lm_head.weight"}


# one cell ------------------------------------------------------------------------------------------------------------


def cell(case, words, make, causes):
    began = time.perf_counter()
    try:
        merged = make()
    except Exception as error:
        return {"status": "absent", "reason": "%s: %s" % (type(error).__name__, str(error)[:200])}
    made = time.perf_counter() - began
    try:
        found = prove(case, merged)
    except Exception as error:
        return {"status": "error", "reason": getattr(error, "message", None) or traceback.format_exc()[-900:]}
    counts = found.counts._asdict()
    proved = not found.counts.wrong and not found.counts.not_compared
    seen = sorted({one.cause for one in found.listed if one.state == "wrong"} - {None})
    line = {"proved": proved, "counts": counts, "causes": seen, "ways": found.ways, "made_s": round(made, 2),
            "s": round(time.perf_counter() - began - made, 2), "places": places(case, merged, found)}  # fmt: skip
    if causes is None:
        line["status"] = "right" if proved else "false alarm" if counts["wrong"] else "not compared"
    else:
        same = not proved or identical(case, merged)
        line["status"] = ("caught" if causes & set(seen) else "caught, other cause") if counts["wrong"] else (
            "no fault: same bits" if same and proved else "not compared" if not proved else "missed")  # fmt: skip
    if "ENVPIN_DELTALINT" in os.environ:
        line["deltalint"] = by_deltalint(case, merged)
    try:
        line["probe"] = ask(case, merged)
    except Exception as error:
        line["probe"] = {"note": " ".join(str(error).split())[:120]}
    if line["status"] not in ("right", "caught"):
        line["listed"] = [one._asdict() for one in found.listed[:4]]
    return line


def places(case, merged, found):
    """Of how many tensors the right merge has other bits, how many are named as wrong, and how many of those are
    none of them."""
    one, other = case.tensors(case.merged), case.tensors(merged)
    differ = {n for n in set(one) | set(other) if n not in one or n not in other or one[n].dtype != other[n].dtype
              or not torch.equal(one[n], other[n])}  # fmt: skip
    named = {verdict.tensor for verdict in found.listed if verdict.state == "wrong"}
    return {"differ": len(differ), "named": len(named), "outside": len(named - differ)}


def identical(case, merged):
    """Whether a planted fault left no trace: the files hold the bits of the right merge."""
    one, other = case.tensors(case.merged), case.tensors(merged)
    return set(one) == set(other) and all(one[n].dtype == other[n].dtype and torch.equal(one[n], other[n]) for n in one)


def finished(out):
    """The lines of whole cells that an earlier run left, and the names of these cells."""
    if not os.path.exists(out):
        return [], set()
    with open(out) as stream:
        lines = [json.loads(line) for line in stream if line.endswith("\n")]
    whole = {line["finished"] for line in lines if "finished" in line}
    return [line for line in lines if line.get("finished", line.get("cell")) in whole], whole


def main(argv):
    workers, scratch, out = argv[:3]
    wanted = argv[3].split(",") if len(argv) > 3 else None
    load("envpin_worker", os.path.join(workers, "__init__.py"), package=True)
    torch.manual_seed(0)
    lines, whole = finished(out)
    with open(out, "w") as stream:
        about = {"peft": peft.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
        for line in [about, *lines]:
            stream.write(json.dumps(line) + "\n")
        for model, kind, tied in KINDS:
            for dtype in DTYPES:
                name = "/".join([model, kind + ("-tied" if tied else ""), dtype])
                if wanted is not None and name not in wanted and not any(name.startswith(one) for one in wanted):
                    continue
                if name in whole:
                    continue
                for line in [*cells_of(scratch, model, kind, dtype, tied), None]:
                    stream.write(json.dumps({"cell": name, **line} if line else {"finished": name}) + "\n")
                    stream.flush()


def cells_of(scratch, model, kind, dtype, tied):
    table = kinds(model)
    if kind not in table or Version(table[kind][1]) > PEFT:
        return
    folder = os.path.join(scratch, "cell")
    if os.path.exists(folder):
        shutil.rmtree(folder)
    try:
        case = Case(folder, model, kind, dtype, tied)
    except Exception as error:
        yield {
            "merge": "peft",
            "kind": "healthy",
            "status": "absent",
            "reason": "%s: %s" % (type(error).__name__, str(error)[:300]),
        }
        return
    for words, make in healthy(case):
        yield {"merge": words, "kind": "healthy", **cell(case, words, make, None)}
    for words, make, causes in faulty(case):
        yield {"merge": words, "kind": "fault", **cell(case, words, make, causes)}


if __name__ == "__main__":
    with torch.no_grad():
        main(sys.argv[1:])
