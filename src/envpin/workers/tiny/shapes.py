"""What tiny models have in common: sizes, and the names of the linear layers that people train."""

from typing import Any, Dict, List, Optional

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]
ALL_LINEAR = ATTENTION + MLP
# Shorter than the probe's inputs (24 tokens), so that a window that a release forgets changes the answers.
WINDOW = 16

DECODER: Dict[str, Any] = {
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


def recipe(
    targets: List[str], *parts: Dict[str, Any], task: Optional[str] = "CAUSAL_LM", **config: Any
) -> Dict[str, Any]:
    """A recipe: `parts` from left to right, then `config`; a value of `LEAVE_OUT` removes the key. `task` is what peft
    calls task_type."""
    made: Dict[str, Any] = {}
    for part in parts:
        made.update(part)
    made.update(config)
    kept = {key: value for key, value in made.items() if value is not LEAVE_OUT}
    return {"config": kept, "targets": targets, "task": task}


LEAVE_OUT = object()
