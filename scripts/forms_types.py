"""The model types that are collected, with the variants of their configs, and the classes of each.

A value `=hidden_size` is that of another field.
"""

from transformers.models.auto import modeling_auto


def _texts(*kinds, vision):
    """A language model and an encoder of images, of which both are named in the config."""
    return [{"text_config.model_type": one, "vision_config.model_type": other} for one in kinds for other in vision]


_GATED = [{"feed_forward_proj": "relu"}, {"feed_forward_proj": "gated-gelu"}]
_CLIP = ["clip_vision_model"]
_SIGLIP = ["siglip_vision_model"]
_LAYER_NORM = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
TYPES = {
    **{name: [{}] for name in (
        "bert", "roberta", "xlm-roberta", "camembert", "distilbert", "albert",
        "modernbert", "mpnet", "xlm-roberta-xl", "rembert", "roformer", "longformer", "big_bird", "ernie",
        "layoutlm", "layoutlmv3", "mobilebert", "convbert", "nystromformer", "data2vec-text", "megatron-bert", "xmod",
        "luke", "lilt", "squeezebert", "funnel", "fnet", "xlm", "flaubert", "ibert", "splinter", "eurobert",
    )},
    "electra": [{}, {"embedding_size": "=hidden_size"}],
    "deberta": [{"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False,
                 "type_vocab_size": 0}],
    "deberta-v2": [
        {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False,
         "norm_rel_ebd": "layer_norm", "share_att_key": True, "position_buckets": 256, "type_vocab_size": 0}],
    "esm": [{"position_embedding_type": "absolute"}, {"position_embedding_type": "rotary"}],
    "t5": _GATED, "mt5": _GATED[::-1], "umt5": _GATED[::-1], "longt5": _GATED, "switch_transformers": [{}],
    **{name: [{}] for name in (
        "whisper", "bart", "mbart", "pegasus", "marian", "m2m_100", "blenderbot", "blenderbot-small", "led",
        "pegasus_x", "bigbird_pegasus", "speech_to_text", "plbart", "prophetnet", "nllb-moe", "moonshine",
    )},
    **{name: [{}] for name in (
        "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "gemma3", "mllama", "idefics2",
        "internvl", "glm4v", "qwen3_5", "qwen3_5_moe", "gemma3n", "gemma4", "llama4", "blip", "blip-2", "florence2",
        "pixtral", "qwen2_5_omni", "glm4v_moe",
    )},
    "smolvlm": [{"text_config.model_type": "llama"}], "idefics3": [{"text_config.model_type": "llama"}],
    "llava": _texts("llama", "mistral", vision=_CLIP) + _texts("mistral", vision=["pixtral"]),
    "llava_next": _texts("mistral", "llama", vision=_CLIP),
    "llava_onevision": _texts("qwen2", vision=_SIGLIP),
    "paligemma": [
        one | {"vision_config.vision_use_head": False} for one in _texts("gemma", "gemma2", vision=_SIGLIP)
    ],
    "mistral3": _texts("mistral", vision=["pixtral"]),
    "qwen2_audio": [{"text_config.model_type": "qwen2", "audio_config.model_type": "qwen2_audio_encoder"}],
    **{name: [{}] for name in (
        "deepseek_v2", "deepseek_v3", "qwen2_moe", "qwen3_moe", "qwen3_next", "qwen3_5_text", "qwen3_5_moe_text",
        "glm4_moe", "dots1", "ernie4_5_moe", "llama4_text", "gemma3n_text", "lfm2", "lfm2_moe", "mamba", "mamba2",
        "falcon_mamba", "jamba", "bamba", "granitemoehybrid", "zamba", "zamba2", "nemotron_h", "recurrent_gemma",
        "rwkv", "falcon_h1", "minimax", "cohere2", "glm_moe_dsa", "deepseek_v32", "kolibri1", "mellum", "beam",
    )},
    **{name: [{}] for name in (
        "vit", "deit", "beit", "dinov2", "dinov2_with_registers", "dinov3_vit", "swin", "convnext", "convnextv2",
        "clip", "siglip", "siglip2", "clip_vision_model", "siglip_vision_model", "vit_mae", "segformer",
        "hubert", "wavlm", "wav2vec2-bert", "wav2vec2-conformer", "audio-spectrogram-transformer", "data2vec-audio",
        "unispeech-sat", "sew", "vision-text-dual-encoder", "trocr", "layoutlmv2", "donut-swin", "detr", "yolos",
    )},
    "wav2vec2": [{"feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False}, _LAYER_NORM],
}  # fmt: skip
# Tables of positions that are computed, and what is there only while training masks: files may lack them.
_TABLES, _MASKED = r"embed_positions\.weights?$", r"masked_spec_embed$"
OPTIONAL = {
    **{name: [_TABLES] for name in (
        "pegasus", "marian", "m2m_100", "speech_to_text", "pegasus_x", "bigbird_pegasus", "nllb-moe",
    )},
    **{name: [_MASKED] for name in (
        "wav2vec2", "hubert", "wavlm", "wav2vec2-bert", "wav2vec2-conformer", "data2vec-audio",
    )},
}  # fmt: skip


def base_of(model_type):
    """The class without a head."""
    found = modeling_auto.MODEL_MAPPING_NAMES.get(model_type, "")
    return found if isinstance(found, str) else found[0]


def classes_of(model_type):
    """The model's own class first, then those with a head."""
    found = {}
    for name in ["MODEL_MAPPING_NAMES", *sorted(dir(modeling_auto))]:
        if not name.endswith("_MAPPING_NAMES") or "BACKBONE" in name or not hasattr(modeling_auto, name):
            continue
        classes = getattr(modeling_auto, name).get(model_type, ())
        found |= dict.fromkeys([classes] if isinstance(classes, str) else classes)
    return list(found)
