"""Runs inside one environment: an adapter of every method that its peft knows, made and saved by peft itself, merged by
peft's own reload and by envpin's engines as `envpin replay merge` takes them, and compared tensor by tensor, bit for
bit. Started by methods.py; Python 3.8 syntax, and only what the environment holds.

    python methods_inside.py WORKERS_FOLDER SCRATCH_FOLDER RESULT.jsonl [NAME/DTYPE,NAME/DTYPE]
"""

import importlib.util
import inspect
import json
import os
import shutil
import sys
import time
import traceback
import warnings

import peft
import torch
import transformers

GRID = os.path.join(os.path.dirname(os.path.abspath(__file__)), "grid_inside.py")
TARGETS = ["q_proj", "v_proj"]
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
# Relative to what training moved: a reload or a merge beyond this is not the model that was trained. The rounding of a
# healthy merge in bf16 stays far below (streaming-merge.md).
RELOADS = 0.1


def load_grid():
    spec = importlib.util.spec_from_file_location("grid_inside", GRID)
    module = importlib.util.module_from_spec(spec)
    sys.modules["grid_inside"] = module
    spec.loader.exec_module(module)
    return module


grid = load_grid()


# one adapter of each method -------------------------------------------------------------------------------------------


def known(name, **options):
    """A config of this peft. An option that it has no field for is an error: without it, it would be another method."""
    return getattr(peft, name)(task_type="CAUSAL_LM", **options)


def lora(**options):
    """A LoRA config, on two layers of each block."""
    return known("LoraConfig", **{"r": 4, "lora_alpha": 7, "target_modules": TARGETS, **options})


def method(name, **options):
    return lambda: known(name, **{"target_modules": TARGETS, **options})


def ids():
    return (torch.arange(24).reshape(2, 12) * 37 + 5) % grid.VOCABULARY


def with_corda(model):
    from peft.tuners.lora.config import CordaConfig
    from peft.tuners.lora.corda import preprocess_corda

    config = lora(init_lora_weights="corda", corda_config=CordaConfig(corda_method="ipm", verbose=False))
    preprocess_corda(model, config, run_model=lambda: [model(ids()[:1]) for _ in range(2)])
    return peft.get_peft_model(model, config)


def with_eva(model):
    adapted = peft.get_peft_model(model, lora(init_lora_weights="eva", eva_config=peft.EvaConfig(rho=1.0)))
    batch = {"input_ids": ids(), "attention_mask": torch.ones_like(ids())}
    peft.initialize_lora_eva_weights(adapted, [dict(batch) for _ in range(4)], show_progress_bar=False)
    return adapted


def with_lora_ga(model):
    from peft.tuners.lora.config import LoraGAConfig
    from peft.tuners.lora.loraga import preprocess_loraga

    config = lora(init_lora_weights="lora_ga", lora_ga_config=LoraGAConfig())

    def train_step():
        model(input_ids=ids(), labels=ids()).loss.backward()

    preprocess_loraga(model, config, train_step=train_step)
    return peft.get_peft_model(model, config)


def with_loftq(model):
    return peft.get_peft_model(model, lora(init_lora_weights="loftq", loftq_config=peft.LoftQConfig(loftq_bits=4)))


def with_xlora(model):
    base, adapters = model.name_or_path, {}
    for number in ("1", "2"):
        folder = os.path.join(os.path.dirname(base), "expert-" + number)
        expert = peft.get_peft_model(loaded(base), lora(init_lora_weights=False))
        expert.save_pretrained(folder)
        adapters[number] = folder
    model.config.use_cache = False
    config = known("XLoraConfig", hidden_size=model.config.hidden_size, xlora_depth=1, adapters=adapters)
    return peft.get_peft_model(model, config)


# name -> what makes the config, or (given the model) the wrapped model itself
METHODS = {
    "lora": lora,
    "lora gaussian": lambda: lora(init_lora_weights="gaussian"),
    "lora init false": lambda: lora(init_lora_weights=False),
    "lora orthogonal": lambda: lora(init_lora_weights="orthogonal"),
    "lora mica": lambda: lora(init_lora_weights="mica"),
    "lora pissa": lambda: lora(init_lora_weights="pissa"),
    "lora pissa rslora": lambda: lora(init_lora_weights="pissa", use_rslora=True, rank_pattern={"q_proj": 6}),
    "lora pissa_niter_4": lambda: lora(init_lora_weights="pissa_niter_4"),
    "lora olora": lambda: lora(init_lora_weights="olora"),
    "lora corda": with_corda,
    "lora eva": with_eva,
    "lora loftq": with_loftq,
    "lora lora_ga": with_lora_ga,
    "lora dora": lambda: lora(use_dora=True),
    "lora bias": lambda: lora(bias="all"),
    "lora lora_bias": lambda: lora(lora_bias=True, target_modules=["q_proj"]),
    "lora experts": lambda: lora(target_modules=["q_proj"], target_parameters=["mlp.gate_proj.weight"]),
    "lora tokens": lambda: lora(trainable_token_indices={"embed_tokens": [3, 5, 300]}),
    "lora saved head": lambda: lora(modules_to_save=["lm_head"]),
    "lora layer_replication": lambda: lora(layer_replication=[[0, 2], [1, 2]]),
    "lora bd": lambda: lora(use_bdlora=peft.tuners.lora.config.BdLoraConfig(
        target_modules_bd_a=["q_proj"], target_modules_bd_b=["v_proj"], nblocks=2)),
    "lora kasa": lambda: lora(kasa_config=peft.tuners.lora.config.KasaConfig()),
    "lora velora": lambda: lora(velora_config=peft.tuners.lora.config.VeloraConfig()),
    "lora monteclora": lambda: lora(monteclora_config=peft.tuners.lora.config.MontecloraConfig()),
    "lora alora": lambda: lora(alora_invocation_tokens=[7, 9]),
    "lora qalora": lambda: lora(use_qalora=True, qalora_group_size=16),
    "adalora": method("AdaLoraConfig", init_r=6, target_r=4, total_step=10, lora_alpha=7, tinit=1, tfinal=1),
    "adalora ranks": method(
        "AdaLoraConfig", init_r=6, target_r=4, total_step=10, tinit=1, tfinal=1, lora_alpha=7),
    "adamss": method("AdamssConfig", r=16, num_subspaces=2, subspace_rank=1),
    "boft": method("BOFTConfig", boft_block_size=4, boft_n_butterfly_factor=1),
    "boft factor": method("BOFTConfig", boft_block_size=4, boft_n_butterfly_factor=2),
    "ia3": method("IA3Config", target_modules=[*TARGETS, "down_proj"], feedforward_modules=["down_proj"]),
    "beft": method("BeftConfig"),
    "lily": method("LilyConfig", r=4),
    "loha": method("LoHaConfig", r=4, alpha=7),
    "lokr": method("LoKrConfig", r=4, alpha=7),
    "lokr lycoris": method("LoKrConfig", r=4, alpha=7, init_weights="lycoris"),
    "oft": lambda: grid.oft(TARGETS, "CAUSAL_LM"),
    "oft coft": method("OFTConfig", r=8, oft_block_size=0, coft=True, block_share=True),
    "poly": method("PolyConfig", r=4, n_tasks=2, n_skills=2),
    "ln_tuning": method("LNTuningConfig", target_modules=["input_layernorm"]),
    "vera": method("VeraConfig", r=8),
    "vera nosave": method("VeraConfig", r=8, save_projection=False),
    "frod": method("FrodConfig", progressbar=False),
    "frod nosave": method("FrodConfig", progressbar=False, save_projection=False),
    "pvera": method("PveraConfig", r=8),
    "pvera nosave": method("PveraConfig", r=8, save_projection=False),
    "fourierft": method("FourierFTConfig", n_frequency=60),
    "glora": method("GloraConfig", r=4),
    "hra": method("HRAConfig", r=4),
    "hra gs": method("HRAConfig", r=4, apply_GS=True),
    "vblora": method("VBLoRAConfig", r=4, num_vectors=20, vector_length=16),
    "vblora topk": method("VBLoRAConfig", r=4, num_vectors=20, vector_length=16, save_only_topk_weights=True),
    "unilora": method("UniLoraConfig", r=4, theta_d_length=64),
    "unilora indices": method("UniLoraConfig", r=4, theta_d_length=64, save_indices=True),
    "bone": method("BoneConfig", r=8),
    "bone bat": method("BoneConfig", r=8, init_weights="bat"),
    "miss": method("MissConfig", r=8),
    "miss bat": method("MissConfig", r=8, init_weights="bat"),
    "miss mini": method("MissConfig", r=8, mini_r=8, init_weights="mini"),
    "randlora": method("RandLoraConfig", r=4),
    "randlora sparse": method("RandLoraConfig", r=4, sparse=True),
    "randlora nosave": method("RandLoraConfig", r=4, save_projection=False),
    "road": method("RoadConfig", group_size=16),
    "road 4": method("RoadConfig", group_size=16, variant="road_4"),
    "trainable_tokens": lambda: known("TrainableTokensConfig", target_modules=["embed_tokens"], token_indices=[3, 5]),
    "hira": method("HiraConfig", r=4),
    "shira": method("ShiraConfig", r=2),
    "c3a": method("C3AConfig", block_size=16),
    "waveft": method("WaveFTConfig", n_frequency=60),
    "osf": method("OSFConfig", effective_rank=8),
    "delora": method("DeloraConfig", r=4),
    "gralora": method("GraloraConfig", r=4, alpha=7, gralora_k=2),
    "gralora hybrid": method("GraloraConfig", r=4, alpha=7, gralora_k=2, hybrid_r=2),
    "tinylora": method("TinyLoraConfig", r=2, u=8),
    "tinylora nosave": method("TinyLoraConfig", r=2, u=8, save_projection=False),
    "psoft": method("PsoftConfig", r=8, psoft_alpha=8),
    "psoft lowrank": method("PsoftConfig", r=8, psoft_alpha=8, psoft_svd="lowrank"),
    "peanut": method("PeanutConfig", r=4),
    "shadow": lambda: known("ShadowConfig", r=4),
    "supertuning": method("SupertuningConfig", sparsity=0.9),
    "supertuning nosave": method("SupertuningConfig", sparsity=0.9, save_precomputed_indices=False),
    "deft": method("DeftConfig", r=4),
    "deft qr": method("DeftConfig", r=4, decomposition_method="qr"),
    "adaption_prompt": lambda: known("AdaptionPromptConfig", adapter_len=4, adapter_layers=1),
    "prompt_tuning": lambda: known("PromptTuningConfig", num_virtual_tokens=4),
    "multitask_prompt_tuning": lambda: known("MultitaskPromptTuningConfig", num_virtual_tokens=4, num_tasks=2),
    "p_tuning": lambda: known("PromptEncoderConfig", num_virtual_tokens=4, encoder_hidden_size=16),
    "prefix_tuning": lambda: known("PrefixTuningConfig", num_virtual_tokens=4),
    "cpt": lambda: known("CPTConfig", cpt_token_ids=[1, 2, 3, 4], cpt_mask=[1] * 4, cpt_tokens_type_mask=[1, 2, 3, 4]),
    "cartridge": lambda: known("CartridgeConfig", num_virtual_tokens=4),
    "xlora": with_xlora,
}  # fmt: skip
# Rows of the vocabulary after training, where it grew; the base ties its head, whose new rows no file holds.
GROWN = {"lora grown tied head": grid.VOCABULARY + 3}
METHODS["lora grown tied head"] = lambda: lora(modules_to_save=["embed_tokens"])


def wrapped(name, model):
    made = METHODS[name]
    if made.__name__.startswith("with_"):
        return made(model)
    return peft.get_peft_model(model, made())


# one cell -------------------------------------------------------------------------------------------------------------


def loaded(folder, rows=None):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, **grid.dtype_auto()).eval()
    if rows:
        torch.manual_seed(0)
        model.resize_token_embeddings(rows)
    return model


def train(name, base, folder):
    """An adapter as training leaves it: every trainable tensor moved. Returns its answers and those of the base."""
    torch.manual_seed(3)
    model = loaded(base, GROWN.get(name))
    before = logits(model)
    adapted = wrapped(name, model)
    for key, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(key)))
            noise *= 1.0 if "lora_E" in key else 0.05  # AdaLoRA's singular values, which scale all else
            parameter.data += noise.to(parameter.dtype)
    adapted.eval()
    after = (answers(adapted) or [None])[0]
    adapted.save_pretrained(folder, **({"save_embedding_layers": False} if name in GROWN else {}))
    return before, after


@torch.no_grad()
def logits(model):
    torch.manual_seed(0)
    return model(input_ids=ids()).logits.float()[:, -ids().shape[1] :, : grid.VOCABULARY]


def off(one, other, before):
    """|one - other| relative to how far `other` is from the base."""
    moved = float((other - before).pow(2).mean().sqrt())
    return float((one - other).pow(2).mean().sqrt()) / moved if moved else None


def reload(base, adapter, seed, rows):
    model = loaded(base, rows)
    torch.manual_seed(seed)
    return peft.PeftModel.from_pretrained(model, adapter).eval()


def merged_by_peft(base, adapter, rows):
    """The tensors of peft's own merge, or why it refuses."""
    torch.manual_seed(0)
    with torch.no_grad():
        model = reload(base, adapter, 0, rows)
        said = answers(model)
        try:
            merged = model.merge_and_unload()
        except Exception as error:
            return said, None, "%s: %s" % (type(error).__name__, str(error)[:300])
        theirs = {name: tensor.clone() for name, tensor in merged.state_dict().items()}
        return said + answers(merged), theirs, None


def answers(model):
    """A list of the model's logits; empty where peft's own layers fail on them (DoRA in bf16 up to 0.15)."""
    try:
        return [logits(model)]
    except Exception:
        return []


def merged_by_envpin(base, adapter, scratch, rows=None):
    """(engine, folder) as `envpin replay merge --engine auto` goes about it; raises what it would refuse with."""
    from envpin_worker.peft_engine import merge, verify
    from envpin_worker.protocol import KnownError
    from envpin_worker.requests import EmbeddingFit, MergeRequest, StreamMergeRequest, VerifyRequest
    from envpin_worker.stream import engine as stream

    out = os.path.join(scratch, "out")
    os.makedirs(out)
    common = {"base": base, "adapter": adapter, "embedding": EmbeddingFit("grow", rows) if rows else EmbeddingFit()}
    try:
        stream.run(StreamMergeRequest(**common, out=out, dtype="peft"), grid.Quiet())
        return "stream", out
    except KnownError as error:
        if error.kind != "not-streamable":
            raise
    shutil.rmtree(out)
    os.makedirs(out)
    kept = os.path.join(scratch, "answers.safetensors")
    found = merge.run(MergeRequest(**common, staging=out, answers=kept), grid.Quiet())
    request = VerifyRequest(
        base=base, adapter=adapter, merged=out, touched=found.touched, answers=kept, architecture=found.architecture,
        made_rows=found.made_rows,
    )  # fmt: skip
    verify.run(request, grid.Quiet())
    return "peft", out


def unlike(theirs, folder):
    mine = grid.stored(folder)
    differing = []
    for name, tensor in sorted(theirs.items()):
        if name not in mine:
            differing.append(name + " (missing)")
        elif tensor.shape != mine[name].shape:
            differing.append("%s (shape %s, ours %s)" % (name, list(tensor.shape), list(mine[name].shape)))
        elif not torch.equal(tensor.cpu(), mine[name]) or tensor.dtype != mine[name].dtype:
            gap = (tensor.float() - mine[name].float()).abs().max()
            differing.append("%s (%s, ours %s, off by %.2g)" % (name, tensor.dtype, mine[name].dtype, gap))
    return differing


def cell(scratch, name, dtype_name):
    if os.path.lexists(scratch):
        shutil.rmtree(scratch)
    base, adapter = os.path.join(scratch, "base"), os.path.join(scratch, "adapter")
    rows = GROWN.get(name)
    grid.make_base(base, "llama", DTYPES[dtype_name], bool(rows), False)
    try:
        before, after = train(name, base, adapter)
    except Exception as error:
        return {"status": "absent", "reason": "%s: %s" % (type(error).__name__, str(error)[:300])}
    try:
        said, theirs, why_not = merged_by_peft(base, adapter, rows)
        again = answers(reload(base, adapter, 1, rows))
        # In bf16 a merge rounds away what training moved by little: whether it is what was trained shows in fp32.
        compared = [*(said if dtype_name == "fp32" else said[:1]), *again] if after is not None else []
        distance = max([off(one, after, before) or 0.0 for one in compared] or [0.0])
    except Exception as error:
        theirs, distance, why_not = None, None, "%s: %s" % (type(error).__name__, str(error)[:300])
    found = {"reload": distance, "peft": why_not, **ours(base, adapter, scratch, rows, theirs, distance)}
    if found["status"] == "refused-wrongly" and found["kind"] == "not-as-trained" and dtype_name != "fp32":
        found["status"] = cell(scratch, name, "fp32")["status"]
    return found


def ours(base, adapter, scratch, rows, theirs, distance):
    try:
        engine, out = merged_by_envpin(base, adapter, scratch, rows)
    except Exception as error:
        if getattr(error, "message", None) is None:
            return {"status": "error", "reason": traceback.format_exc()[-900:]}
        return {"status": refusal(theirs, distance), "kind": error.kind, "reason": error.message[:400]}
    if theirs is None:
        return {"status": "merged-what-peft-does-not", "engine": engine, "reason": ""}
    differing = unlike(theirs, out)
    if differing:
        return {"status": "differs", "engine": engine, "reason": "; ".join(differing[:3])}
    wrong = distance is not None and distance > RELOADS
    status = "merged-what-was-not-trained" if wrong else "identical"
    return {"status": status, "engine": engine, "reason": "%.3g" % distance if wrong else ""}


def refusal(theirs, distance):
    if theirs is None:
        return "refused-as-peft"
    return "refused-not-as-trained" if distance is not None and distance > RELOADS else "refused-wrongly"


def fields_by_type():
    """Every PeftType of this peft, with the fields of its config."""
    from peft import mapping

    found = {str(one.value): [] for one in peft.PeftType}
    for one, config in mapping.PEFT_TYPE_TO_CONFIG_MAPPING.items():
        found[str(getattr(one, "value", one))] = sorted(inspect.signature(config.__init__).parameters)
    return found


def main(workers, scratch, result, wanted=""):
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    grid.load_workers(workers)
    scratch = os.path.realpath(scratch)
    names = [tuple(one.split("/")) for one in wanted.split(",")] if wanted else [
        (name, dtype) for name in METHODS for dtype in DTYPES
    ]  # fmt: skip
    about = {"peft": peft.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
    about.update(types=fields_by_type(), methods=list(METHODS))
    with open(result, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(about) + "\n")
        for name, dtype in names:
            begin = time.time()
            found = cell(scratch, name, dtype)
            line = {"method": name, "dtype": dtype, **found, "seconds": round(time.time() - begin, 2)}
            stream.write(json.dumps(line) + "\n")
            stream.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
