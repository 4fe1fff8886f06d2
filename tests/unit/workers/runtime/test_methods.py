"""What of an adapter's config envpin knows, and what it leaves to peft itself."""

from __future__ import annotations

import pytest

from envpin.workers.runtime.methods import is_additive, needs_gpu, refusal, unusual

LORA = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"], "init_lora_weights": True}


@pytest.mark.parametrize("start", [True, False, "gaussian", "orthogonal", "eva", "mica"])
def test_starts_that_only_fill_the_adapter_are_usual(start: object) -> None:
    assert unusual({**LORA, "init_lora_weights": start}) == []
    assert is_additive({**LORA, "init_lora_weights": start})


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_4", "olora", "OLoRA", "corda", "loftq", "of-next-year"])
def test_starts_that_change_the_base_or_are_unknown_are_named(start: str) -> None:
    assert unusual({**LORA, "init_lora_weights": start}) == [f"`init_lora_weights` is `{start}`"]
    assert not is_additive({**LORA, "init_lora_weights": start})


def test_unknown_fields_count_only_where_they_say_something() -> None:
    assert unusual({**LORA, "new_trick": None, "other_trick": False, "third": [], "fourth": {}}) == []
    assert unusual({**LORA, "new_trick": {"depth": 2}}) == ["`new_trick` is given"]
    assert unusual({**LORA, "kasa_config": {}, "arrow_config": {"top_k": 3}}) == ["`arrow_config` is given"]


@pytest.mark.parametrize("method", ["RANDLORA", "VBLORA", "OSF", "OF_NEXT_YEAR"])
def test_methods_that_are_not_streamed_are_named(method: str) -> None:
    assert unusual({"peft_type": method, "target_modules": ["q_proj"]}) == [f"`peft_type` is `{method}`"]


@pytest.mark.parametrize("change", [{"use_dora": True}, {"fan_in_fan_out": True}, {"use_bdlora": {"nblocks": 2}}])
def test_what_is_no_sum_is_not_recomputed_as_one(change: dict[str, object]) -> None:
    assert unusual({**LORA, **change}) == []
    assert not is_additive({**LORA, **change})


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"init_lora_weights": "lora_ga"}, "base-change-lost", "`init_lora_weights` is `lora_ga`: training began"),
        ({"init_lora_weights": "CorDA"}, "base-change-lost", "`eigens` attribute not found"),
        ({"init_lora_weights": "pissa_niter_16"}, "base-change-lost", "`pissa_niter_16`: what training subtracted"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer-replication", "`layer_replication` is [[0, 2], [1, 2]]: "),
        ({"peft_type": "XLORA"}, "method-cannot-merge", "mixed differently for each input"),
        ({"peft_type": "poly"}, "method-cannot-merge", "`peft_type` is `POLY`"),
        ({"alora_invocation_tokens": [7]}, "method-cannot-merge", "aLoRA does not support merging"),
        ({"peft_type": "PREFIX_TUNING"}, "method-cannot-merge", "peft has no merge for it"),
        ({"peft_type": "ADAPTION_PROMPT"}, "method-cannot-merge", "no `merge_and_unload`"),
    ],
)
def test_what_no_merge_is_right_for_is_refused_with_the_reason(
    change: dict[str, object], code: str, words: str
) -> None:
    found = refusal({**LORA, **change})
    assert found is not None
    assert (found.code, words in found.reason) == (code, True)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": False},
        {"layer_replication": None},
        {"layer_replication": []},
        {"alora_invocation_tokens": None},
        {"peft_type": "VERA"},
    ],
)
def test_what_peft_reloads_as_it_was_trained_is_not_refused(change: dict[str, object]) -> None:
    assert refusal({**LORA, **change}) is None


@pytest.mark.parametrize(
    ("change", "release", "only_there"),
    [
        ({"init_lora_weights": "loftq"}, (0, 12), True),
        ({"init_lora_weights": "LoftQ", "loftq_config": {"loftq_bits": 4, "loftq_iter": 1}}, (0, 18), True),
        ({"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 8}}, (0, 18), False),
        ({"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 8}}, (0, 19), True),
        ({"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 2}}, (0, 18), False),
        ({"init_lora_weights": True, "loftq_config": {}}, (0, 12), False),
    ],
)
def test_loftq_of_4_bits_and_of_8_since_0_19_is_loaded_on_a_gpu_only(
    change: dict[str, object], release: tuple[int, int], only_there: bool
) -> None:
    assert needs_gpu({**LORA, **change}, release) == only_there
