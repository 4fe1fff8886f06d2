"""Tiny models that see: a text model, a vision tower, and what joins them."""

from typing import Any, Dict

from .shapes import ALL_LINEAR, DECODER, recipe

_QWEN2_VL: Dict[str, Any] = dict(
    DECODER,
    image_token_id=503,
    max_position_embeddings=32768,
    max_window_layers=2,
    rope_scaling={"mrope_section": [2, 3, 3], "type": "mrope"},
    rope_theta=1000000.0,
    sliding_window=32768,
    use_sliding_window=False,
    video_token_id=504,
    vision_end_token_id=501,
    vision_start_token_id=500,
    vision_token_id=502,
)

RECIPES: Dict[str, Dict[str, Any]] = {
    "qwen2-vl": recipe(
        ALL_LINEAR,
        _QWEN2_VL,
        architectures=["Qwen2VLForConditionalGeneration"],
        model_type="qwen2_vl",
        transformers_version="4.45.0",
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
    ),
    "qwen2.5-vl": recipe(
        ALL_LINEAR,
        _QWEN2_VL,
        architectures=["Qwen2_5_VLForConditionalGeneration"],
        model_type="qwen2_5_vl",
        transformers_version="4.49.0",
        vision_config={
            "depth": 2,
            "fullatt_block_indexes": [1],
            "hidden_act": "silu",
            "hidden_size": 32,
            "in_chans": 3,
            "intermediate_size": 64,
            "model_type": "qwen2_5_vl",
            "num_heads": 2,
            "out_hidden_size": 64,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "spatial_patch_size": 14,
            "temporal_patch_size": 2,
            "tokens_per_second": 2,
            "window_size": 112,
        },
    ),
}
