"""A missing name, member or model type speaks of a release, by what the wheels hold."""

from __future__ import annotations

import io
import re

import pytest

from envpin.diagnose.logs.facts.name_facts import NOT_A_RELEASE
from envpin.diagnose.logs.facts.names import explain_name, words
from envpin.diagnose.logs.reader import diagnose_log

NEWER, CHANGED, LIBRARY = "config-needs-newer-transformers", "transformers-api-changed", "library-api-changed"

WORDS = [
    (CHANGED, "cannot import name 'AutoModelForVision2Seq' from 'transformers'", "went with transformers 5.0"),
    (CHANGED, "cannot import name 'TRANSFORMERS_CACHE' from 'transformers.utils'", "went with transformers 5.0"),
    (CHANGED, "cannot import name 'HybridCache' from 'transformers'", "came with transformers 4.44 and went with 5.0"),
    (CHANGED, "cannot import name 'DisjunctiveConstraint' from 'transformers.generation'", "went with transformers"),
    (CHANGED, "'DynamicCache' object has no attribute 'seen_tokens'", "4.36 and went with 4.54"),
    (
        CHANGED,
        "cannot import name 'no_such_name' from 'transformers'",
        "in any release of transformers",
    ),
    (CHANGED, "'aimv2' is already used by a Transformers config, pick another name.", "`aimv2` itself from 4.54.0 on"),
    (
        CHANGED,
        "'<class 'x.Qwen2_5_VLConfig'>' is already used by a Transformers model",
        "`qwen2_5_vl` itself from 4.49",
    ),
    (CHANGED, "cannot import name 'TFAutoModel' from 'transformers'", "no classes for TensorFlow"),
    (LIBRARY, "cannot import name 'load_metric' from 'datasets'", "went with datasets 3.0"),
    (CHANGED, "cannot import name 'Qwen3VLForConditionalGeneration' from 'transformers'", "from 4.57.1 on"),
    (NEWER, "has model type `qwen3` but Transformers does not", "from 4.51.0 on"),
    (NEWER, "KeyError: 'qwen3_5'", "knows `qwen3_5` from 5."),
    (NEWER, "Unknown quantization type, got mxfp4 - supported types are: ['awq']", "came with transformers 4.55"),
    (NEWER, "Unknown quantization type, got nf9 - supported types are: ['awq']", "no release of transformers"),
    (CHANGED, "cannot import name 'Mxfp4Config' from 'transformers'", "came with transformers 4.55"),
    (CHANGED, "cannot import name 'RobertaPreTrainedModel' from 'transformers.modeling_roberta'", "every release"),
    ("tokenizer-needs-newer", "Tokenizer class TokenizersBackend does not exist", "came with transformers 5.0"),
    (NEWER, "has model type `openvla` but Transformers does not", "no release of transformers up to 5."),
    (NEWER, "No module named 'transformers.models.qwen3_moe'", "from 4.51.0 on"),
    (LIBRARY, "cannot import name 'GRPOConfig' from 'trl'", "came with trl 0.14"),
    (LIBRARY, "cannot import name 'DataCollatorForCompletionOnlyLM' from 'trl'", "went with trl 0.20"),
    (LIBRARY, "cannot import name 'clear_device_cache' from 'accelerate.utils.memory'", "came with accelerate 0.32"),
    (LIBRARY, "cannot import name 'HfFolder' from 'huggingface_hub'", "went with huggingface-hub 1.0"),
]


@pytest.mark.parametrize(("code", "line", "word"), WORDS)
def test_the_release_is_named(code: str, line: str, word: str) -> None:
    told = words(code, f"ImportError: {line} (/srv/lib/python3.11/site-packages/x/__init__.py)")
    assert told is not None
    assert word in told.says, told.says


@pytest.mark.parametrize(
    "line",
    [
        # Below the top, what every release has was not kept: nothing can be said of a name that is not there.
        "cannot import name 'LoraLayer' from 'peft.tuners.lora'",
        "cannot import name 'OFTLayer' from 'peft.tuners.oft'",
        "cannot import name 'no_such_name' from 'transformers.modeling_utils'",
        # What `datasets` exports at its top does not tell its `__init__` alone.
        "cannot import name 'no_such_name' from 'datasets'",
        # Classes of single models were not collected.
        "cannot import name 'DonutProcessor' from 'transformers'",
    ],
)
def test_nothing_is_said_of_names_that_were_not_looked_at(line: str) -> None:
    assert words(CHANGED, line) is None
    assert explain_name(line) is None


@pytest.mark.parametrize(
    "line",
    [
        # LlamaConfig had it by itself before every config got it.
        "'LlamaConfig' object has no attribute 'rope_scaling'",
        # Served by `__getattr__` from 4.47 on, a property before.
        "'Qwen2TokenizerFast' object has no attribute 'eos_token_id'",
    ],
)
def test_what_a_class_had_without_its_base_is_not_said_to_have_come_or_gone(line: str) -> None:
    told = explain_name(f"AttributeError: {line}")
    assert told is None or not re.match(r"`\w+` of `\w+` (?:came|went) with", told.says), told


def test_a_config_of_several_parts_keeps_the_text_models_sizes_inside() -> None:
    told = explain_name("AttributeError: 'Gemma3Config' object has no attribute 'vocab_size'")
    assert told is not None
    assert "`text_config`" in told.says
    plain = explain_name("AttributeError: 'Gemma3TextConfig' object has no attribute 'vocab_size'")
    assert plain is None or "`text_config`" not in plain.says


def test_a_model_type_as_old_as_what_was_looked_at_blames_no_release() -> None:
    assert words(NEWER, "KeyError: 'bert'") is NOT_A_RELEASE
    assert words(CHANGED, "cannot import name 'T5ForConditionalGeneration' from 'transformers'") is NOT_A_RELEASE


def test_a_name_of_every_release_blames_none() -> None:
    line = "ImportError: cannot import name 'AutoProcessor' from 'transformers'"
    assert words(CHANGED, line) is NOT_A_RELEASE
    old = words(CHANGED, f"{line} (/srv/lib/python3.7/site-packages/transformers/__init__.py)")
    assert old is not None
    assert "every release of transformers from 4.26 on" in old.says


FACTS = [
    ("module 'transformers.models.llama.modeling_llama' has no attribute 'LLAMA_ATTENTION_CLASSES'", CHANGED, "4.48"),
    ("cannot import name 'ALLOWED_LAYER_TYPES'", CHANGED, "5.0"),
    ("'TokenizersBackend' object has no attribute 'batch_encode_plus'", CHANGED, "went with transformers 5.0"),
    ("'Qwen2TokenizerFast' object has no attribute 'additional_special_tokens_ids'", CHANGED, "transformers 5.0"),
    ("cannot import name 'prepare_model_for_int8_training' from 'peft'", LIBRARY, "went with peft 0.10"),
    ("type object 'DynamicCache' has no attribute 'from_legacy_cache'", CHANGED, "went with 5.0"),
    ("No module named 'peft.utils.config'", LIBRARY, "went with peft"),
    ("Accelerator.unwrap_model() got an unexpected keyword argument 'keep_torch_compile'", LIBRARY, "accelerate 1.3"),
    ("'XForMaskedLM' object has no attribute 'prepare_inputs_for_generation'", CHANGED, "went with transformers 4.5"),
    ("name 'PreTrainedConfig' is not defined. Did you mean: 'PretrainedConfig'?", CHANGED, "transformers 5.0"),
]


@pytest.mark.parametrize(("line", "code", "word"), FACTS)
def test_facts_alone_name_a_cause(line: str, code: str, word: str) -> None:
    told = explain_name(line)
    assert told is not None
    assert told.code == code
    assert word in told.says, told.says


@pytest.mark.parametrize(
    "line",
    [
        "'LRUCache' object has no attribute 'seen_tokens'",
        "'AppConfig' object has no attribute 'temperature'",
        "'WordTokenizer' object has no attribute 'encode_plus'",
        "'NoneType' object has no attribute 'get_max_length'",
        "name 'PreTrainedThing' is not defined. Did you mean: 'PretrainedThing'?",
        "Widget.draw() got an unexpected keyword argument 'keep_torch_compile'",
    ],
)
def test_a_class_of_another_world_is_left_alone(line: str) -> None:
    assert explain_name(line) is None


def test_other_codes_keep_their_words() -> None:
    assert words("numpy-abi", "cannot import name 'GRPOConfig' from 'trl'") is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ModuleNotFoundError: No module named 'trl.commands'", "came with trl 0.8 and went with 0.13"),
        ("ModuleNotFoundError: No module named 'transformers.modeling_attn_mask_utils'", "went with 5.24"),
        ("ModuleNotFoundError: No module named 'datasets.tasks'", "went with datasets 3.0"),
        ("ImportError: cannot import name 'is_rich_available' from 'transformers.utils'", "came with transformers"),
    ],
)  # fmt: skip
def test_a_module_or_what_a_package_takes_from_its_modules_has_its_releases(line: str, says: str) -> None:
    (found,) = diagnose_log(io.BytesIO(line.encode())).findings
    assert says in found.message


def test_a_module_of_peft_that_transformers_asks_for_is_a_matter_of_the_two() -> None:
    log = (
        '  File "/x/site-packages/transformers/integrations/peft.py", line 230, in load_adapter\n'
        "    from peft.utils.transformers_weight_conversion import build_peft_weight_mapping\n"
        "ModuleNotFoundError: No module named 'peft.utils.transformers_weight_conversion'\n"
    )
    (found,) = diagnose_log(io.BytesIO(log.encode())).findings
    assert (found.code, "peft 0.19" in found.message) == ("peft-transformers-incompatible", True)


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("datasets.arrow_dataset", "every release of datasets from 2.10 on has the module"),
        ("trl.trainer.sft_trainr", "no release of trl that was looked at"),
    ],
)
def test_a_module_that_every_release_or_none_has_blames_no_release(module: str, says: str) -> None:
    (found,) = diagnose_log(io.BytesIO(f"ModuleNotFoundError: No module named '{module}'\n".encode())).findings
    assert says in found.message


@pytest.mark.parametrize(
    ("name", "said"), [("processing_class", "came with transformers 4.46"), ("use_apex", "went with transformers 5.0")]
)
def test_what_a_trainer_sets_is_told_of_a_class_of_its_kind(name: str, said: str) -> None:
    told = explain_name(f"AttributeError: 'MyTrainer' object has no attribute '{name}'")
    assert told is not None
    assert said in told.says


def test_a_model_with_a_head_of_its_own_name_has_the_members_of_models() -> None:
    told = explain_name("AttributeError: 'GPT2LMHeadModel' object has no attribute 'greedy_search'")
    assert told is not None
    assert "went with transformers 4.41" in told.says
