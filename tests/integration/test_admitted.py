"""What of an adapter's config reaches peft: nothing that chooses an import, no pattern without end."""

from __future__ import annotations

import importlib
import time
from typing import Any

import pytest

from envpin.workers.protocol import KnownError

admitted = importlib.import_module("envpin.workers.runtime.admitted")
NAMES = [f"model.layers.{number}.self_attn.q_proj" for number in range(32)] + ["a" * 60]
# What peft writes into a config of its own accord.
PLAIN: dict[str, Any] = {
    "megatron_core": "megatron.core", "megatron_config": None, "target_modules": ["q_proj", "v_proj"], "r": 8,
    "rank_pattern": {"layers.0.q_proj": 4, r"layers\.[0-9]+\.v_proj": 4}, "alpha_pattern": {}, "loftq_config": {},
    "corda_config": {"cache_file": "cache.pt"}, "layers_pattern": None, "modules_to_save": None,
}  # fmt: skip
ENDLESS = "(a+)+$"


@pytest.mark.parametrize("more", [
    {}, {"loftq_config": {"loftq_bits": 4, "loftq_iter": 5}}, {"init_lora_weights": "pissa_niter_16"},
    {"num_cayley_neumann_terms": 5},
    {"target_modules": "all-linear"}, {"target_modules": r".*\.(q|v)_proj"}, {"layers_pattern": "layers"},
    {"target_modules": "(unclosed"}, {"target_modules": None}, {"modules_to_save": ["lm_head"]},
    {"target_modules": r"^(?!.*(?:vision|visual)).*(?:q_proj|v_proj|gate_proj).*$"},
])  # fmt: skip
def test_admit_lets_real_configs_pass(more: dict[str, Any]) -> None:
    admitted.admit({**PLAIN, **more}, NAMES)


@pytest.mark.parametrize("more", [
    {"megatron_core": "os"}, {"megatron_core": ["x"]}, {"megatron_config": {"a": 1}}, {"shadow_model": "evil/model"},
    {"prompt_tuning_init_state_dict_path": "/etc/x"}, {"adapters": {"1": "/x"}}, {"tokenizer_name_or_path": "evil/x"},
])  # fmt: skip
def test_admit_refuses_what_chooses_an_import_or_a_file(more: dict[str, Any]) -> None:
    with pytest.raises(KnownError) as refused:
        admitted.admit({**PLAIN, **more}, NAMES)
    assert refused.value.kind == "refused-config"
    assert next(iter(more)) in refused.value.message


@pytest.mark.parametrize("more", [
    {"loftq_config": {"loftq_bits": 4, "loftq_iter": 10**9}}, {"init_lora_weights": "pissa_niter_99999999"},
    {"num_cayley_neumann_terms": 10**12}, {"loftq_config": {"loftq_iter": float("nan")}},
])  # fmt: skip
def test_admit_refuses_repetitions_without_end(more: dict[str, Any]) -> None:
    with pytest.raises(KnownError, match="repetitions"):
        admitted.admit({**PLAIN, **more}, NAMES)


@pytest.mark.parametrize("more", [
    {"target_modules": ENDLESS.replace("$", "b")}, {"exclude_modules": "(a|aa)+b"}, {"layers_pattern": "(a*)*b"},
    {"rank_pattern": {"(a+)+b": 1}}, {"alpha_pattern": {"(a|a)*b": 1}}, {"n_frequency_pattern": {"(a+)+b": 1}},
    {"modules_to_save": ["(a+)+b"]},
])  # fmt: skip
def test_admit_refuses_a_pattern_without_end(more: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admitted, "_DEADLINE", 2.0)
    began = time.monotonic()
    with pytest.raises(KnownError) as refused:
        admitted.admit({**PLAIN, **more}, NAMES)
    assert refused.value.kind == "refused-config"
    assert "takes longer than 2 s" in refused.value.message
    assert time.monotonic() - began < 20
