"""Runs inside one environment: a tiny model of every family, LoRA on what people train, peft's merge against the engine
`stream`, tensor for tensor in the files; and the probe layer by layer against whole models. Started by families.py.

    python families_inside.py WORKERS_FOLDER SCRATCH_FOLDER RESULT.jsonl [FAMILY,FAMILY]
"""

import json
import os
import shutil
import sys
import time
import warnings

import peft
import torch
import transformers

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import grid_inside as grid

# Families whose checkpoints have other names than their modules, beyond the recipes of workers/tiny/recipes.
TEXT = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 128}  # fmt: skip
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
          "image_size": 28, "patch_size": 14, "projection_dim": 32}  # fmt: skip
MORE = {
    "llava": {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": 5,
        "text_config": {**TEXT, "model_type": "llama"},
        "vision_config": {**VISION, "model_type": "clip_vision_model"},
    },
    "llava-next": {
        "architectures": ["LlavaNextForConditionalGeneration"],
        "model_type": "llava_next",
        "image_token_index": 5,
        "text_config": {**TEXT, "model_type": "mistral"},
        "vision_config": {**VISION, "model_type": "clip_vision_model"},
    },
    "paligemma": {
        "architectures": ["PaliGemmaForConditionalGeneration"],
        "model_type": "paligemma",
        "image_token_index": 5,
        "projection_dim": 64,
        "hidden_size": 64,
        "vocab_size": 512,
        "text_config": {**TEXT, "head_dim": 16, "model_type": "gemma"},
        "vision_config": {**VISION, "model_type": "siglip_vision_model"},
    },
    "gemma3-vl": {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "image_token_index": 5,
        "mm_tokens_per_image": 4,
        "text_config": {**TEXT, "head_dim": 16, "model_type": "gemma3_text"},
        "vision_config": {**VISION, "model_type": "siglip_vision_model"},
    },
    "wav2vec2": {
        "architectures": ["Wav2Vec2ForCTC"],
        "model_type": "wav2vec2",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "vocab_size": 32,
        "conv_dim": [16, 16],
        "conv_kernel": [5, 3],
        "conv_stride": [5, 2],
        "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
    },
}


# A tied pair that training took apart: peft's own merge changes the one tensor that both share (docs/adr/0031).
_TABLES = ("lm_head.weight", "embed_tokens.weight")


def cell(scratch, family, recipe, tiny, verbs):
    shutil.rmtree(scratch, ignore_errors=True)
    base, adapter, saved, out = (os.path.join(scratch, name) for name in ("base", "adapter", "theirs", "ours"))
    try:
        make(base, adapter, recipe, tiny)
        wanted = tiny.architecture(transformers.AutoConfig.from_pretrained(base))
        whole = wanted.from_pretrained(base, **grid.dtype_auto()).eval()
        merged = peft.PeftModel.from_pretrained(whole, adapter).merge_and_unload()
        merged.save_pretrained(saved)
    except Exception as error:
        return {"status": "absent", "reason": "%s: %s" % (type(error).__name__, " ".join(str(error).split())[:200])}
    os.makedirs(out)
    try:
        result = verbs.answer("stream-merge", {"base": base, "adapter": adapter, "out": out}, grid.Quiet())
    except Exception as error:
        kind = "falls-back" if getattr(error, "kind", "") == "not-streamable" else "error"
        return {"status": kind, "reason": "%s" % (getattr(error, "message", None) or repr(error))[:300]}
    unlike = grid.unlike_files(saved, out)
    wider = [name for name in unlike if is_only_wider(name, saved, out)]
    fused = sum(1 for one in result["operations"] if len(one["tensors"]) > 1)
    apart = result["untied"] and all(one.endswith(_TABLES) for one in (name.partition(" ")[0] for name in unlike))
    differs = "untied" if apart else "differs"
    return {
        "status": differs if len(wider) < len(unlike) else "wider" if wider else "identical",
        "reason": "; ".join(unlike[:4]),
        "operations": len(result["operations"]),
        "fused": fused,
        "probe": probed(base, adapter, out, result["config_updates"]),
    }


def probed(base, adapter, out, updates):
    """The figures of the probe, and how far the outputs of the same models, loaded whole in float32, are from those
    that it got layer by layer."""
    from envpin_worker.probe import layered, three
    from envpin_worker.requests import StreamAnswersRequest
    from envpin_worker.runtime import answers, loading
    from envpin_worker.runtime.several import sources

    with open(os.path.join(base, "config.json"), encoding="utf-8") as stream:
        config = json.load(stream)
    for one in (config, config.get("text_config")):  # as `envpin.replay.engines.write_config` does
        if isinstance(one, dict):
            one.update({key: value for key, value in updates.items() if value is not None})
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as stream:
        json.dump(config, stream)
    request = StreamAnswersRequest(base=base, adapter=adapter, merged=out, scratch=out)
    with torch.no_grad():
        try:
            asked = three.ask(request)
            apart = with_everything_apart(three, layered, request)
        except layered.CannotAskError as error:
            return {"cannot": str(error)[:200]}
        task = loading.read_json(os.path.join(adapter, "adapter_config.json"))
        model = loading.load_base(base, task, None, torch.float32)
        batch = answers.inputs(model.get_input_embeddings().weight.shape[0], batch=2, length=16)
        whole = [three.outputs_of(model, batch)]
        adapted = loading.load_adapters(model, sources(request)).get_base_model()
        whole.append(three.outputs_of(adapted, batch))
        merged = loading.load_base(out, task, type(adapted).__name__, torch.float32)
        whole.append(three.outputs_of(merged, batch))
        found = [*asked[:3], *apart[:3]]
        pairs = zip(found, whole * 2)  # noqa: B905 (Python 3.8 has no strict=)
        return {
            "ratio": answers.ratio(asked.base, asked.adapted, asked.merged).ratio,
            "whole": answers.ratio(*whole).ratio,
            "largest": max(float((one - other).abs().max()) for one, other in pairs),
        }


def with_everything_apart(three, layered, request):
    """Asked with each linear layer filled for itself, as those of large models are."""
    usual, layered.APART = layered.APART, 0
    try:
        return three.ask(request)
    finally:
        layered.APART = usual


def is_only_wider(text, saved, out):
    """Whether a tensor holds the same values in the base's dtype and in the float32 that transformers keeps it in."""
    name = text.partition(" ")[0]
    theirs, mine = grid.stored(saved).get(name), grid.stored(out).get(name)
    return theirs is not None and mine is not None and torch.equal(theirs, mine.to(theirs.dtype))


def make(base, adapter, recipe, tiny):
    os.makedirs(base)
    with open(os.path.join(base, "config.json"), "w", encoding="utf-8") as stream:
        json.dump(recipe.config, stream)
    model = tiny.build(base).to(torch.bfloat16)
    model.config.torch_dtype = torch.bfloat16
    model.save_pretrained(base, max_shard_size="200KB")
    tiny.adapter(model, base, adapter, recipe.targets, task=recipe.task)


def main(workers, scratch, result, wanted=""):
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    grid.load_workers(workers)
    from envpin_worker import verbs
    from envpin_worker.tiny import make as tiny
    from envpin_worker.tiny import recipe as data

    recipes = data.load_recipes()
    recipes.update({name: data.TinyRecipe(None, "all-linear", one) for name, one in MORE.items()})
    with open(result, "w", encoding="utf-8") as target:
        about = {"peft": peft.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
        target.write(json.dumps(about) + "\n")
        for family in sorted(recipes):
            if wanted and family not in wanted.split(","):
                continue
            begin = time.time()
            found = cell(scratch, family, recipes[family], tiny, verbs)
            line = {"cell": family, **found, "seconds": round(time.time() - begin, 2)}
            target.write(json.dumps(line) + "\n")
            target.flush()
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
