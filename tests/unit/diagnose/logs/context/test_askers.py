"""Who asked for a name that is not there: peft, the code of another model, or a program for other models."""

from __future__ import annotations

import pytest

from tests.support.logs import codes, diagnose

SITE = "/x/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("AttributeError: 'GPT2Config' object has no attribute 'rms_norm_eps'", "model-of-another-kind"),
        ("AttributeError: 'LlamaConfig' object has no attribute 'n_embd'", "model-of-another-kind"),
        # these keep it in their `text_config`, from some release on
        ("AttributeError: 'Gemma3Config' object has no attribute 'vocab_size'", "transformers-api-changed"),
        ("AttributeError: 'Qwen2VLConfig' object has no attribute 'hidden_size'", "transformers-api-changed"),
        # moved by a release
        ("AttributeError: 'LlamaConfig' object has no attribute 'rope_theta'", "config-needs-older-transformers"),
    ],
)
def test_a_config_without_a_field(line: str, code: str) -> None:
    assert codes(line) == [code]


@pytest.mark.parametrize(
    ("config", "folder", "code"),
    [
        ("LlamaConfig", "opt", "model-of-another-kind"),
        ("LlamaConfig", "llama", "transformers-api-changed"),
        ("Gemma3TextConfig", "gemma3", "transformers-api-changed"),
    ],
)
def test_the_code_of_another_model_reads_a_config(config: str, folder: str, code: str) -> None:
    log = (
        f'  File "{SITE}/transformers/models/{folder}/modeling_{folder}.py", line 685, in __init__\n'
        "    self.dropout = config.dropout\n"
        f'  File "{SITE}/transformers/configuration_utils.py", line 263, in __getattribute__\n'
        "    return super().__getattribute__(key)\n"
        f"AttributeError: '{config}' object has no attribute 'dropout'\n"
    )
    assert codes(log) == [code]


def test_a_script_that_misspells_a_field_is_told_the_right_one() -> None:
    line = "TypeError: LoraConfig.__init__() got an unexpected keyword argument 'nit_lora_weights'"
    script = '  File "/home/me/train.py", line 10, in <module>\n    config = LoraConfig(\n'
    inside = f'  File "{SITE}/peft/config.py", line 150, in from_peft_type\n    return config_cls(**kwargs)\n'
    told = diagnose(script + line).findings[0]
    assert told.code == "settings-refused"
    assert "`init_lora_weights`" in told.message
    # from a file: a newer peft or a fork may have written it
    assert codes(script + inside + line) == codes(line) == ["adapter-needs-newer-peft"]


def test_a_method_that_this_peft_does_not_know_is_named_once() -> None:
    inside = (
        f'  File "{SITE}/peft/peft_model.py", line 492, in from_pretrained\n'
        "    config = PEFT_TYPE_TO_CONFIG_MAPPING[PeftConfig._get_peft_type(model_id, **kwargs)].from_pretrained(\n"
    )
    assert codes(f"{inside}KeyError: 'LOROTA'\n") == ["adapter-needs-newer-peft"]
