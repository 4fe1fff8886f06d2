"""Tiny Qwen models without experts: a bias on q, k and v until Qwen2.5, norms on q and k from Qwen3 on."""

from typing import Any, Dict

from .shapes import ALL_LINEAR, DECODER, recipe

_QWEN2: Dict[str, Any] = dict(
    DECODER,
    architectures=["Qwen2ForCausalLM"],
    max_position_embeddings=32768,
    max_window_layers=2,
    model_type="qwen2",
    rope_theta=1000000.0,
    sliding_window=32768,
    transformers_version="4.37.0",
    use_sliding_window=False,
)

RECIPES: Dict[str, Dict[str, Any]] = {
    "qwen1.5": recipe(ALL_LINEAR, _QWEN2, num_key_value_heads=4, tie_word_embeddings=True),
    "qwen2": recipe(ALL_LINEAR, _QWEN2),
    "qwen2.5": recipe(ALL_LINEAR, _QWEN2, tie_word_embeddings=True, transformers_version="4.43.1"),
    "qwq": recipe(ALL_LINEAR, _QWEN2, max_position_embeddings=40960, rms_norm_eps=1e-05, transformers_version="4.45.2"),
    "deepseek-r1-distill-qwen": recipe(
        ALL_LINEAR,
        _QWEN2,
        max_position_embeddings=131072,
        rope_theta=10000,
        sliding_window=4096,
        transformers_version="4.44.0",
        use_mrope=False,
    ),
    "qwen3": recipe(
        ALL_LINEAR,
        DECODER,
        architectures=["Qwen3ForCausalLM"],
        attention_bias=False,
        head_dim=32,
        max_position_embeddings=40960,
        max_window_layers=2,
        model_type="qwen3",
        rope_scaling=None,
        rope_theta=1000000,
        sliding_window=None,
        tie_word_embeddings=True,
        transformers_version="4.51.0",
        use_sliding_window=False,
    ),
}
