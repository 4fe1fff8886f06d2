"""Configurations of tiny models, one per family: scaled down, but with every feature that tells the family apart.

Each is written as the family's own `config.json` on the Hub is written, never through a configuration class, so that a
release too old for the family fails on it exactly as it fails on the real one. `targets` are what people train.
"""

from typing import Any, Dict

_ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
_ALL_LINEAR = _ATTENTION + ["gate_proj", "up_proj", "down_proj"]

_DECODER: Dict[str, Any] = {
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "use_cache": True,
    "vocab_size": 512,
}

_LLAMA = dict(
    _DECODER,
    architectures=["LlamaForCausalLM"],
    attention_bias=False,
    model_type="llama",
    pretraining_tp=1,
    rms_norm_eps=1e-05,
)

RECIPES: Dict[str, Dict[str, Any]] = {
    "llama2": {
        "config": dict(
            _LLAMA,
            max_position_embeddings=4096,
            num_key_value_heads=4,
            rope_scaling=None,
            rope_theta=10000.0,
            transformers_version="4.31.0",
        ),
        "targets": _ALL_LINEAR,
    },
    "llama3": {
        "config": dict(
            _LLAMA,
            max_position_embeddings=8192,
            rope_scaling=None,
            rope_theta=500000.0,
            transformers_version="4.40.0",
        ),
        "targets": _ALL_LINEAR,
    },
    "llama3.1": {
        "config": dict(
            _LLAMA,
            eos_token_id=[2, 3, 4],
            max_position_embeddings=131072,
            mlp_bias=False,
            rope_scaling={
                "factor": 8.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "llama3",
            },
            rope_theta=500000.0,
            transformers_version="4.43.0",
        ),
        "targets": _ALL_LINEAR,
    },
    "qwen2": {
        "config": dict(
            _DECODER,
            architectures=["Qwen2ForCausalLM"],
            max_position_embeddings=32768,
            max_window_layers=2,
            model_type="qwen2",
            rope_theta=1000000.0,
            sliding_window=32768,
            transformers_version="4.37.0",
            use_sliding_window=False,
        ),
        "targets": _ALL_LINEAR,
    },
    "qwen2-vl": {
        "config": dict(
            _DECODER,
            architectures=["Qwen2VLForConditionalGeneration"],
            image_token_id=503,
            max_position_embeddings=32768,
            max_window_layers=2,
            model_type="qwen2_vl",
            rope_scaling={"mrope_section": [2, 3, 3], "type": "mrope"},
            rope_theta=1000000.0,
            sliding_window=32768,
            transformers_version="4.45.0",
            use_sliding_window=False,
            video_token_id=504,
            vision_config={
                "depth": 2,
                "embed_dim": 32,
                "hidden_size": 64,
                "in_chans": 3,
                "mlp_ratio": 2,
                "model_type": "qwen2_vl",
                "num_heads": 2,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "spatial_patch_size": 14,
                "temporal_patch_size": 2,
            },
            vision_end_token_id=501,
            vision_start_token_id=500,
            vision_token_id=502,
        ),
        "targets": _ALL_LINEAR,
    },
    "qwen3-moe": {
        "config": dict(
            _DECODER,
            architectures=["Qwen3MoeForCausalLM"],
            attention_bias=False,
            decoder_sparse_step=1,
            head_dim=16,
            max_position_embeddings=40960,
            max_window_layers=2,
            mlp_only_layers=[],
            model_type="qwen3_moe",
            moe_intermediate_size=32,
            norm_topk_prob=True,
            num_experts=4,
            num_experts_per_tok=2,
            output_router_logits=False,
            rope_scaling=None,
            rope_theta=1000000.0,
            router_aux_loss_coef=0.001,
            sliding_window=None,
            transformers_version="4.51.0",
            use_sliding_window=False,
        ),
        "targets": _ALL_LINEAR,
    },
}
