"""Runs inside one environment: makes tiny models and adapters, merges each with peft and with the engine `stream`, and
compares every tensor bit for bit. Started by grid.py; Python 3.8 syntax, and only what the environment holds.

    python grid_inside.py WORKERS_FOLDER SCRATCH_FOLDER RESULT.jsonl [PIECES/OF/A/CELL | CELL,CELL]
"""

import importlib.util
import inspect
import itertools
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
from packaging.version import Version

PEFT = Version(peft.__version__)
TRANSFORMERS = Version(transformers.__version__)
VOCABULARY = 320
FULL = ("lora", "dora", "save-both", "tokens", "grown-saved")
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def load_workers(folder):
    spec = importlib.util.spec_from_file_location(
        "envpin_worker", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["envpin_worker"] = module
    spec.loader.exec_module(module)


# models --------------------------------------------------------------------------------------------------------------


def llama(tied):
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM, LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=tied,
    )  # fmt: skip


def qwen2(tied):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM, Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=tied,
    )  # fmt: skip


def gemma2(tied):
    from transformers import Gemma2Config, Gemma2ForCausalLM

    return Gemma2ForCausalLM, Gemma2Config(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=64, tie_word_embeddings=tied,
    )  # fmt: skip


def qwen3_moe(tied):
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    return Qwen3MoeForCausalLM, Qwen3MoeConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=176, moe_intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, num_experts=4, num_experts_per_tok=2,
        max_position_embeddings=64, tie_word_embeddings=tied, decoder_sparse_step=1,
    )  # fmt: skip


def qwen2_vl(tied):
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    text = dict(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rope_scaling={"type": "mrope", "mrope_section": [2, 3, 3]},
    )  # fmt: skip
    vision = dict(depth=2, embed_dim=32, hidden_size=64, num_heads=2, mlp_ratio=2, patch_size=4, spatial_merge_size=2)
    small = dict(tie_word_embeddings=tied, image_token_id=9, video_token_id=10, vision_start_token_id=7,
                 vision_end_token_id=8, vision_token_id=6, bos_token_id=1, eos_token_id=2)  # fmt: skip
    if Version("4.52") <= TRANSFORMERS:
        config = Qwen2VLConfig(text_config={**text, "tie_word_embeddings": tied}, vision_config=vision, **small)
    else:
        config = Qwen2VLConfig(vision_config=vision, **text, **small)
    return Qwen2VLForConditionalGeneration, config


def gpt_oss(tied):
    from transformers import GptOssConfig, GptOssForCausalLM

    return GptOssForCausalLM, GptOssConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, num_local_experts=4, num_experts_per_tok=2, max_position_embeddings=64,
        tie_word_embeddings=tied, rope_scaling=None, pad_token_id=0,
    )  # fmt: skip


def gpt2(tied):
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel, GPT2Config(
        vocab_size=VOCABULARY, n_embd=64, n_layer=2, n_head=4, n_positions=64, tie_word_embeddings=tied
    )


def t5(tied):
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration, T5Config(
        vocab_size=VOCABULARY, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, tie_word_embeddings=tied,
        decoder_start_token_id=0,
    )  # fmt: skip


def bert(tied):
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification, BertConfig(
        vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        num_labels=3, max_position_embeddings=64,
    )  # fmt: skip


def convnet(tied):
    from transformers import ResNetConfig, ResNetForImageClassification

    return ResNetForImageClassification, ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_labels=3
    )


MODELS = {
    "llama": (llama, LINEAR, "CAUSAL_LM"),
    "qwen2": (qwen2, LINEAR, "CAUSAL_LM"),
    "gemma2": (gemma2, LINEAR, "CAUSAL_LM"),
    "qwen3_moe": (qwen3_moe, LINEAR, "CAUSAL_LM"),
    "gpt_oss": (gpt_oss, LINEAR[:4], "CAUSAL_LM"),
    "qwen2_vl": (qwen2_vl, [*LINEAR, "qkv", "fc1"], "CAUSAL_LM"),
    "gpt2": (gpt2, ["c_attn", "c_proj", "c_fc"], "CAUSAL_LM"),
    "t5": (t5, ["q", "v", "wi", "wo"], "SEQ_2_SEQ_LM"),
    "bert": (bert, ["query", "value", "dense"], "SEQ_CLS"),
    "convnet": (convnet, ["convolution"], None),
}

# Layers with a bias, which `lora_bias` needs.
BIASED = {
    "qwen2": ["q_proj", "k_proj"],
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "bert": ["query", "value", "dense"],
    "gpt_oss": LINEAR[:4],
}


# adapters ------------------------------------------------------------------------------------------------------------


def lora(targets, task, **options):
    return peft.LoraConfig(r=4, lora_alpha=7, target_modules=targets, task_type=task, lora_dropout=0.0, **options)


def adapters(model):
    """name -> (config factory, first peft that knows it, options of the cell)."""
    _, targets, task = MODELS[model]
    # fan_in_fan_out as peft's own table sets it for GPT-2
    transposed = {"fan_in_fan_out": True} if model == "gpt2" else {}
    first, second = targets[0], targets[1] if len(targets) > 1 else targets[0]
    table = {
        "lora": (lambda: lora(targets, task, **transposed), "0.10", {}),
        "rslora": (lambda: lora(targets, task, use_rslora=True, **transposed), "0.10", {}),
        "patterns": (
            lambda: lora(targets, task, rank_pattern={first: 8}, alpha_pattern={second: 3}, **transposed), "0.10", {}),
        "dora": (lambda: lora(targets, task, use_dora=True, **transposed), "0.10", {}),
        "bias-all": (lambda: lora(targets, task, bias="all", **transposed), "0.10", {}),
        "bias-lora": (lambda: lora(targets, task, bias="lora_only", **transposed), "0.10", {}),
        "loha": (lambda: peft.LoHaConfig(r=4, alpha=7, target_modules=targets, task_type=task), "0.10", {}),
        "lokr": (lambda: peft.LoKrConfig(r=4, alpha=7, target_modules=targets, task_type=task), "0.10", {}),
        "ia3": (
            lambda: peft.IA3Config(target_modules=targets, feedforward_modules=targets[-1:], task_type=task), "0.10", {}
        ),
        "oft": (lambda: oft(targets, task), "0.10", {}),
    }  # fmt: skip
    if model in BIASED:
        table["lora-bias"] = (lambda: lora(BIASED[model], task, lora_bias=True, **transposed), "0.14", {})
    if model in ("llama", "qwen2", "gemma2", "qwen3_moe", "qwen2_vl"):
        table.update({
            "embedding": (lambda: lora([*targets, "embed_tokens"], task), "0.10", {}),
            "head": (lambda: lora([*targets, "lm_head"], task), "0.10", {}),
            "save-head": (lambda: lora(targets, task, modules_to_save=["lm_head"]), "0.10", {}),
            "save-embedding": (lambda: lora(targets, task, modules_to_save=["embed_tokens"]), "0.10", {}),
            "save-both": (lambda: lora(targets, task, modules_to_save=["embed_tokens", "lm_head"]), "0.10", {}),
            "tokens": (lambda: lora(targets, task, trainable_token_indices={"embed_tokens": [3, 5, 300]}), "0.15", {}),
            "grown": (lambda: lora(targets, task), "0.10", {"rows": VOCABULARY + 8}),
            "grown-saved": (
                lambda: lora(targets, task, modules_to_save=["embed_tokens", "lm_head"]), "0.10",
                {"rows": VOCABULARY + 8},
            ),
        })  # fmt: skip
    # Qwen3-MoE has its experts as one parameter since transformers 5, and peft finds them there since 0.19.
    if model == "gpt_oss" or (model == "qwen3_moe" and Version("5") <= TRANSFORMERS):
        expert = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
        first_peft = "0.17" if model == "gpt_oss" else "0.19"
        table["parameters"] = (lambda: lora(["q_proj"], task, target_parameters=expert), first_peft, {})
    if model == "qwen3_moe":
        table["attention"] = (lambda: lora(LINEAR[:4], task), "0.10", {})
    if model == "bert":
        table["lora"] = (lambda: lora(targets, task, modules_to_save=["classifier"]), "0.10", {})
    return table


def oft(targets, task):
    names = inspect.signature(peft.OFTConfig.__init__).parameters
    options = {"oft_block_size": 8, "r": 0} if "oft_block_size" in names else {"r": 8}
    return peft.OFTConfig(target_modules=targets, task_type=task, **options)


# one cell ------------------------------------------------------------------------------------------------------------


def make_base(folder, model, dtype, tied, sharded):
    torch.manual_seed(1)
    wanted, config = MODELS[model][0](tied)
    made = wanted(config).to(dtype)
    for name, parameter in made.named_parameters():  # freshly made biases and norms are all alike, which hides mistakes
        if parameter.dim() == 1:
            torch.manual_seed(len(name))
            parameter.data += 0.1 * torch.randn(parameter.shape).to(dtype)
    made.config.torch_dtype = dtype
    made.save_pretrained(folder, max_shard_size="100KB" if sharded else "10GB")


def make_adapter(folder, base, model, config, rows):
    wanted, _ = MODELS[model][0](False)
    whole = wanted.from_pretrained(base, **dtype_auto())
    if rows:
        whole.resize_token_embeddings(rows)
    torch.manual_seed(2)
    adapted = peft.get_peft_model(whole, config)
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))) * 0.05
            parameter.data += noise.to(parameter.dtype)
    adapted.save_pretrained(folder, **({"save_embedding_layers": True} if rows else {}))


def dtype_auto():
    return {"dtype": "auto"} if Version("4.56") <= TRANSFORMERS else {"torch_dtype": "auto"}


def reference(base, adapter, model, rows, saved):
    """State of the model that peft merges and saves into `saved`, and the answers of base, adapter and merged model."""
    wanted, _ = MODELS[model][0](False)
    whole = wanted.from_pretrained(base, **dtype_auto()).eval()
    said = [answers(whole)]
    if rows:
        whole.resize_token_embeddings(rows)
    adapted = peft.PeftModel.from_pretrained(whole, adapter).eval()
    said.append(answers(adapted))
    merged = adapted.merge_and_unload()
    said.append(answers(merged))
    for parameter in merged.parameters():
        # OFT before peft 0.14 leaves them transposed, and safetensors refuses to save those: a matter of saving
        parameter.data = parameter.data.contiguous()
    merged.save_pretrained(saved)
    return {name: tensor.clone() for name, tensor in merged.state_dict().items()}, said


@torch.no_grad()
def answers(model):
    if not hasattr(model.config, "vocab_size") and not hasattr(model.config, "text_config"):
        return None
    ids = (torch.arange(24).reshape(2, 12) * 37 + 5) % VOCABULARY
    try:
        more = {"decoder_input_ids": ids[:, :4]} if getattr(model.config, "is_encoder_decoder", False) else {}
        return model(input_ids=ids, **more).logits.float()[..., :VOCABULARY]
    except Exception:
        return None


def ratio(said, merged):
    """|merged - adapter| / |adapter - base|."""
    base, adapter = said[0], said[1]
    if base is None or adapter is None or merged is None:
        return None
    moved = (adapter - base).pow(2).mean().sqrt()
    return float((merged - adapter).pow(2).mean().sqrt() / moved) if moved > 0 else None


class Quiet:
    def __getattr__(self, name):
        return lambda *_arguments, **_options: None


def ours(base, adapter, out, model, rows, request):
    from envpin_worker import verbs

    os.makedirs(out)
    body = {"base": base, "adapter": adapter, "out": out, "architecture": MODELS[model][0](False)[0].__name__}
    if rows:
        body["embedding"] = {"action": "grow", "rows": rows}
    result = verbs.answer("stream-merge", {**body, **request}, Quiet())
    with open(os.path.join(base, "config.json"), encoding="utf-8") as stream_:
        config = json.load(stream_)
    for place in (config, config.get("text_config")):
        if place is not None:
            place.update(result["config_updates"])
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as stream_:
        json.dump(config, stream_)
    wanted, _ = MODELS[model][0](False)
    loaded, info = wanted.from_pretrained(out, output_loading_info=True, **dtype_auto())
    return result, loaded.eval(), info


def compare(theirs, mine, dtype):
    """Names of tensors that differ, and the worst of them."""
    differing = []
    for name, tensor in theirs.items():
        if name not in mine:
            differing.append(name + " (missing)")
        elif tensor.shape != mine[name].shape:
            differing.append("%s (shape %s, ours %s)" % (name, list(tensor.shape), list(mine[name].shape)))
        elif torch.equal(tensor, mine[name]) and tensor.dtype == mine[name].dtype:
            continue
        elif tensor.dtype == torch.float32 and dtype != torch.float32:
            # peft leaves float32 weights behind in a model of half precision; the files keep the base's dtype
            same = torch.equal(tensor.to(dtype), mine[name].to(dtype))
            differing.append(
                "%s (%s, ours %s, %s after a cast)"
                % (name, tensor.dtype, mine[name].dtype, "equal" if same else "differs")
            )
        else:
            differing.append("%s (%.2g)" % (name, (tensor.float() - mine[name].float()).abs().max()))
    return differing


def unlike_files(theirs, mine):
    """Names of tensors whose bytes or dtype in the files are not those that peft's merged model was saved with."""
    theirs, mine = stored(theirs), stored(mine)
    unlike = sorted(set(theirs) ^ set(mine))
    for name in sorted(set(theirs) & set(mine)):
        one, other = theirs[name], mine[name]
        if one.dtype != other.dtype or one.shape != other.shape or not torch.equal(one, other):
            unlike.append("%s (saved %s, ours %s)" % (name, one.dtype, other.dtype))
    return unlike


def stored(folder):
    from safetensors.torch import load_file

    found = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            found.update(load_file(os.path.join(folder, name)))
    return found


def cell(scratch, model, kind, dtype_name, sharded, tied):
    factory, first, options = adapters(model)[kind]
    if Version(first) > PEFT:
        return {"status": "absent", "reason": "needs peft %s" % first}
    if os.path.lexists(scratch):
        shutil.rmtree(scratch)
    base, adapter, out = (os.path.join(scratch, name) for name in ("base", "adapter", "out"))
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[dtype_name]
    rows = options.get("rows")
    try:
        make_base(base, model, dtype, tied, sharded)
        make_adapter(adapter, base, model, factory(), rows)
        theirs, said = reference(base, adapter, model, rows, os.path.join(scratch, "theirs"))
    except Exception as error:
        return {"status": "absent", "reason": "peft itself: %s: %s" % (type(error).__name__, str(error)[:200])}
    try:
        result, loaded, _ = ours(base, adapter, out, model, rows, {})
    except Exception as error:
        if getattr(error, "kind", "") == "not-streamable":
            return {"status": "falls-back", "reason": error.message[:300]}
        return {
            "status": "error",
            "reason": "%s: %s"
            % (type(error).__name__, getattr(error, "message", None) or traceback.format_exc()[-700:]),
        }
    differing = compare(theirs, loaded.state_dict(), dtype)
    status = "differs" if differing else "identical"
    if differing and all(text.endswith("equal after a cast)") for text in differing):
        status = "identical-after-cast"
        ours(base, adapter, out + "-peft", model, rows, {"dtype": "peft"})
        unlike = unlike_files(os.path.join(scratch, "theirs"), out + "-peft")
        if not unlike:
            status = "identical-in-pefts-dtypes"
        differing += unlike
    return {
        "status": status,
        "reason": "; ".join(differing[:4]),
        "operations": len(result["operations"]),
        "modes": sorted({one["mode"] for one in result["operations"]}),
        "worst": result["verification"]["recomputed"]["worst"],
        "ratio": ratio(said, answers(loaded)),
        "peft_ratio": ratio(said, said[2]),
    }


def cells():
    for model in MODELS:
        try:
            MODELS[model][0](False)
        except ImportError:
            continue
        for kind in adapters(model):
            for dtype, sharded, tied in layouts(model, kind):
                words = (model, kind, dtype, "sharded" if sharded else "single", "tied" if tied else "untied")
                yield "/".join(words), (model, kind, dtype, sharded, tied)


def layouts(model, kind):
    """(dtype, sharded, tied): the full product for the kinds of `FULL` on llama. For the others every dtype, sharding
    and tie, but not their product, since in the engine they do not meet: how a tensor is rounded, where it lies, which
    tensors there are."""
    if model == "llama" and kind in FULL:
        yield from itertools.product(("bf16", "fp16", "fp32"), (False, True), (False, True))
    elif model == "llama":
        yield from itertools.product(("bf16", "fp16", "fp32"), (False,), (False,))
        yield from itertools.product(("bf16",), (False, True), (True,))
        yield "bf16", True, False
    elif len(ties(model)) > 1:
        yield from (("bf16", True, False), ("bf16", False, True))
    else:
        yield from (("bf16", True, ties(model)[0]), ("fp16", False, ties(model)[0]), ("fp32", False, ties(model)[0]))


def ties(model):
    if model in ("llama", "qwen2", "gemma2"):
        return (False, True)
    return (True,) if model in ("gpt2", "t5") else (False,)


def main(workers, scratch, result, wanted=""):
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    load_workers(workers)
    # shutil.rmtree refuses a link: the folder behind it is cleared for each cell instead
    scratch = os.path.realpath(scratch)
    about = {"peft": peft.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
    with open(result, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(about) + "\n")
        for name, arguments in chosen(wanted):
            torch.set_num_threads(2)
            begin = time.time()
            found = cell(scratch, *arguments)
            stream.write(json.dumps({"cell": name, **found, "seconds": round(time.time() - begin, 2)}) + "\n")
            stream.flush()


def chosen(wanted):
    """Cells named in full, separated by commas; or all that have every piece of `wanted` in their name."""
    if wanted.count("/") >= 4:
        for name in wanted.split(","):
            model, kind, dtype, layout, tie = name.split("/")
            yield name, (model, kind, dtype, layout == "sharded", tie == "tied")
        return
    for name, arguments in cells():
        if all(piece in name.split("/") for piece in wanted.split("/") if piece):
            yield name, arguments


if __name__ == "__main__":
    main(*sys.argv[1:])
