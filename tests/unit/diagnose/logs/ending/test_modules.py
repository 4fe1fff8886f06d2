"""Modules that are not there, told by their name alone where no other line shows the field."""

from __future__ import annotations

import pytest

from tests.support.logs import SITE, answer, codes


@pytest.mark.parametrize(
    ("line", "cause", "said"),
    [
        ("ModuleNotFoundError: No module named 'cosyvoice'", "package-missing", "github.com/FunAudioLLM/CosyVoice"),
        ("ModuleNotFoundError: No module named 'fish_speech.utils'", "package-missing", "`fish_speech` that was"),
        ("ModuleNotFoundError: No module named 'openrlhf'", "package-missing", "pip install openrlhf"),
        ("ModuleNotFoundError: No module named 'flash_attn_2_cuda'", "installation-broken", "compiled part"),
        ("ModuleNotFoundError: No module named 'swift'", "package-missing", "pip install ms-swift"),
        ("ModuleNotFoundError: No module named 'swift.llm'", "library-api-changed", "ms-swift<4.0"),
        ("ModuleNotFoundError: No module named 'FlagEmbedding.reranker'", "library-api-changed", "FlagEmbedding<1.3"),
        ("ModuleNotFoundError: No module named 'FlagEmbedding.finetune'", "library-api-changed", "FlagEmbedding>=1.3"),
        ("/usr/bin/python: No module named FlagEmbedding.visual.run", "library-api-changed", "FlagEmbedding<1.3"),
        ("/usr/bin/python: No module named llava.eval.run", "package-missing", "has no module `llava.eval.run`"),
        (("python3: Error while finding module specification for 'verl.trainer.main' (ModuleNotFoundError: No module "
         "named 'verl')"), "package-missing", "pip install verl"),
    ],
)  # fmt: skip
def test_a_module_that_only_this_field_has_is_told_by_its_name(line: str, cause: str, said: str) -> None:
    found, text = answer(f"{line}\n")
    assert found == [cause]
    assert said in text


@pytest.mark.parametrize("name", ["flask_login", "app.models", "wand.image", "swiftly", "project.llavas", "django"])
def test_a_module_of_another_field_has_no_code(name: str) -> None:
    assert codes(f"ModuleNotFoundError: No module named '{name}'\n") == []


def test_a_list_of_packages_shows_the_field() -> None:
    line = "AttributeError: 'functools.partial' object has no attribute '__self__'. Did you mean: '__call__'?\n"
    assert codes(line) == []
    assert codes(f"{line}\nPackage        Version\n-------------- -------\naccelerate     1.2.1\n") == [
        "transformers-api-changed"
    ]


@pytest.mark.parametrize(
    ("frame", "cause"),
    [("    from .device_type import (\n", "gpu-not-supported"), ("    import unsloth_zoo\n", "package-missing")],
)
def test_unsloth_words_every_error_of_its_companion_as_a_missing_package(frame: str, cause: str) -> None:
    log = (
        f'Traceback (most recent call last):\n  File "{SITE}/unsloth_zoo/__init__.py", line 76, '
        f"in <module>\n{frame}ImportError: Unsloth: Please install unsloth_zoo via `pip install unsloth_zoo`\n"
    )
    assert codes(log) == [cause]


@pytest.mark.parametrize(
    ("loaded", "cause"), [("dict_keys(['sql'])", "adapter-not-found"), ("dict_keys([])", "settings-refused")]
)
def test_a_server_without_any_lora_read_its_name_from_a_colon(loaded: str, cause: str) -> None:
    line = "ValueError: The following requested LoRA adapters are not loaded: 8b"
    assert codes(f"{line}\nLoaded adapters: {loaded}.\n") == [cause]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("lerobot/act_pusht", "model-of-another-kind"), ("stabilityai/stable-diffusion-3", "model-of-another-kind"),
        ("me/Model-GGUF", "foreign-format"), ("me/model", "base-not-found"),
    ],
)  # fmt: skip
def test_a_repository_without_a_model_type_is_told_by_its_name(name: str, cause: str) -> None:
    assert codes(f"ValueError: Unrecognized model in {name}. Should have a `model_type` key in its config.json.\n") == [
        cause
    ]


def test_what_a_models_own_code_imports_is_not_asked_for_by_transformers() -> None:
    log = (
        'Traceback (most recent call last):\n  File "/c/modules/transformers_modules/me/modeling_me.py", line 5, '
        "in <module>\n    from addict import Dict\nModuleNotFoundError: No module named 'addict'\n"
    )
    found, text = answer(log)
    assert found == ["package-missing"]
    assert "the model's own code imports `addict`" in text


def test_weights_that_a_server_cannot_read_are_no_setting() -> None:
    log = (
        f'Traceback (most recent call last):\n  File "{SITE}/vllm/model_executor/layers/linear.py", line 743, in '
        "weight_loader\n    raise NotImplementedError(\nNotImplementedError: Shard id with several indices is not "
        "supported, please use another loader.\n"
    )
    found, text = answer(log)
    assert found == ["serving-limit"]
    assert "pip install -U vllm" in text


def test_a_library_whose_own_member_is_missing_is_named() -> None:
    frame = '  File ".../mlx_lm/tokenizer_utils.py", line 463, in __getattr__\n    return self.__getattribute__(attr)\n'
    found, text = answer(f"{frame}AttributeError: 'TokenizerWrapper' object has no attribute '_detokenizer'.\n")
    assert found == ["library-api-changed"]
    assert "mlx_lm" in text
