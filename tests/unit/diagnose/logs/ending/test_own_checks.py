"""A bare `assert` of a script: what it compares tells the cause."""

from __future__ import annotations

import pytest

from tests.support.logs import answer

LOG = """
Traceback (most recent call last):
  File "/home/user/nanogpt/train.py", line 210, in <module>
    main()
  File "/home/user/nanogpt/model.py", line 174, in forward
    assert {condition}
AssertionError
"""


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("seq_len % window == 0", "inputs-do-not-fit"),
        ("x.shape[-1] == self.n_embd", "inputs-do-not-fit"),
        ("len(texts) == len(labels)", "data-not-as-expected"),
    ],
)
def test_a_bare_assert_is_quoted_with_its_cause(condition: str, code: str) -> None:
    codes, text = answer(LOG.format(condition=condition))
    assert codes == [code]
    assert f"asserts `{condition}`" in text


def test_a_bare_assert_of_nothing_known_has_no_cause() -> None:
    assert answer(LOG.format(condition="ok"))[0] == []


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ('raise RuntimeError("x")\nRuntimeError: CUDA not available', "gpu-not-supported"),
        (
            'raise ValueError("x")\nValueError: weights length must match number of adapters',
            "settings-refused",
        ),
        ("assert not torch.allclose(first_weight_old, first_weight)\nAssertionError", "adapter-is-noop"),
        ("assert not torch.equal(before, after)\nAssertionError", "adapter-is-noop"),
    ],
)
def test_a_check_of_the_program_is_told_by_what_it_asks(raised: str, code: str) -> None:
    log = LOG.partition("    assert")[0].replace("nanogpt", "lora-export") + f"    {raised}\n"
    assert answer(log)[0] == [code]


def test_a_folder_of_wandb_is_no_package() -> None:
    codes, text = answer(
        'Traceback (most recent call last):\n  File "/srv/site-packages/transformers/integrations/'
        'integration_utils.py", line 808, in setup\n    from wandb.sdk.lib.config_util import ConfigError\n'
        "ModuleNotFoundError: No module named 'wandb.sdk'\n"
    )
    assert codes == ["package-missing"]
    assert "the folder `wandb/`" in text


def test_a_parameter_that_was_not_quantized_is_a_matter_of_the_config() -> None:
    codes, _ = answer(
        'Traceback (most recent call last):\n  File "/srv/site-packages/peft/tuners/lora/bnb.py", line 585, in '
        'dispatch_bnb_4bit\n    "compress_statistics": target_base_layer.weight.compress_statistics,\n'
        "AttributeError: 'Parameter' object has no attribute 'compress_statistics'\n"
    )
    assert codes == ["architecture-drift"]


@pytest.mark.parametrize("message", ["CUDA is required for DPO training", "a GPU is needed for this stage"])
def test_a_gpu_that_a_program_wants(message: str) -> None:
    log = (
        'Traceback (most recent call last):\n  File "/app/lora/train.py", line 5, in main\n'
        f"    raise RuntimeError(\nRuntimeError: {message}\n"
    )
    assert answer(log)[0] == ["gpu-not-supported"]


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("Installed TRL build does not provide ORPOTrainer/ORPOConfig.", "library-api-changed", "went with 0.29"),
        ("This transformers is too old for the base.", "transformers-api-changed", "of another release"),
        ("This script requires trl>=0.20, found 0.12.1", "torch-companion-mismatch", "pip install 'trl>=0.20'"),
        ("transformers>=4.51 is required for Qwen3", "torch-companion-mismatch", "it takes `transformers>=4.51`"),
        ("Please upgrade peft to run this stage", "library-api-changed", "of another release"),
    ],
)
def test_a_release_that_a_program_refuses_is_no_setting(message: str, code: str, words: str) -> None:
    codes, text = answer(
        'Traceback (most recent call last):\n  File "/srv/lora/train_orpo.py", line 17, in _load_trl\n'
        f"    raise RuntimeError(\nRuntimeError: {message}\n"
    )
    assert codes == [code]
    assert words in text
