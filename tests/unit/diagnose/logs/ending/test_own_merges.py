"""What programs that merge and convert check by themselves, in the forms that real runs of such scripts printed."""

from __future__ import annotations

import pytest

from tests.support.logs import answer

SCRIPT = """
Traceback (most recent call last):
  File "/home/user/model-soup/merge.py", line 12, in <module>
    {code}
{error}
"""


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("not torch.allclose(before, after)", "adapter-is-noop"),
        ("not torch.equal(base_weight, merged_weight)", "adapter-is-noop"),
        ("pre.keys() == ft.keys()", "model-of-another-kind"),
        ("len(tok) == model.get_input_embeddings().num_embeddings", "vocab-mismatch"),
        ("len(a.models) == len(a.alphas) and abs(sum(a.alphas) - 1.0) < 1e-4", "settings-refused"),
    ],
)
def test_a_bare_assert_over_weights_tells_its_cause(condition: str, code: str) -> None:
    codes, text = answer(SCRIPT.format(code=f"assert {condition}", error="AssertionError"))
    assert codes == [code]
    assert f"asserts `{condition}`" in text


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("merge had no effect: all weights identical to the base model", "adapter-is-noop"),
        ("no LoRA layers were merged", "unmatched-adapter-keys"),
        ("got 1 alphas for 2 models", "settings-refused"),
        ("weights length must match number of adapters", "settings-refused"),
        ("alphas sum to 1.2, not 1", "settings-refused"),
        ("cannot drop layers [4, 5]: the model has only 2", "settings-refused"),
    ],
)
def test_its_own_words_tell_the_cause(said: str, code: str) -> None:
    codes, text = answer(SCRIPT.format(code=f'raise ValueError("{said}")', error=f"ValueError: {said}"))
    assert codes == [code]
    assert said in text


def test_a_printed_error_of_a_merge_without_effect() -> None:
    log = "max |delta| = 0.000e+00\nERROR: merged weights are identical to base weights\n"
    assert answer(log)[0] == ["adapter-is-noop"]


def test_a_note_of_weights_that_sum_to_one_is_no_error() -> None:
    assert answer("[soup] model weights sum to 1.0\nmerged model saved\n")[0] == []


@pytest.mark.parametrize(
    ("path", "code", "key", "expected"),
    [
        ("gguf-tools/convert.py", 'n_embd = cfg["hidden_size"]', "hidden_size", "serving-limit"),
        ("llama-prune/heads.py", 'n = config["num_hidden_layers"]', "num_hidden_layers", "model-of-another-kind"),
        ("lora-mlx/convert.py", 'alpha = int(hf_cfg["lora_alpha"])', "lora_alpha", "serving-limit"),
        ("lora-train/train.py", 'alpha = config["learning_rate"]', "learning_rate", "settings-refused"),
    ],
)
def test_an_entry_of_a_config_json_tells_the_family(path: str, code: str, key: str, expected: str) -> None:
    log = f"""
Traceback (most recent call last):
  File "/home/user/{path}", line 4, in <module>
    {code}
KeyError: '{key}'
"""
    codes, text = answer(log)
    assert codes == [expected]
    assert f"`{key}`" in text


def test_the_product_of_an_adapter_on_a_base_of_another_width() -> None:
    message = (
        "RuntimeError: The size of tensor a (48) must match the size of tensor b (32) at non-singleton dimension 1"
    )
    codes, text = answer(SCRIPT.format(code="sd[name] += scale * (B @ A)", error=message))
    assert codes == ["wrong-base-hidden-size"]
    assert "48 and 32" in text


def test_a_folder_without_checkpoints_is_no_empty_data() -> None:
    code = 'last = max(ckpts, key=lambda p: int(p.split("-")[-1]))'
    log = SCRIPT.format(code=code, error="ValueError: max() arg is an empty sequence")
    assert answer(log.replace("model-soup", "llama-train"))[0] == ["base-not-found"]


@pytest.mark.parametrize(
    ("path", "source", "code"),
    [
        (
            "axolotl/cli/utils/lora_merge.py",
            "(tensor.to(torch.float32) + delta.to(torch.float32))",
            "wrong-base-hidden-size",
        ),
        ("axolotl/cli/utils/load.py", "mask = mask + other", "library-fault"),
    ],
)
def test_a_library_that_merges_meets_a_base_of_another_size(path: str, source: str, code: str) -> None:
    frame = f'  File "/v/lib/python3.11/site-packages/{path}", line 7, in merged\n    {source}\n'
    error = "RuntimeError: The size of tensor a (96) must match the size of tensor b (64) at non-singleton dimension 0"
    codes, _ = answer(f"Traceback (most recent call last):\n{frame}{error}\n")
    assert codes == [code]


def test_rows_of_another_vocabulary_are_no_other_width() -> None:
    frame = (
        '  File "/v/lib/python3.11/site-packages/axolotl/cli/lora_merge.py", line 7, in f\n    merged = base + delta\n'
    )
    error = "RuntimeError: The size of tensor a (32000) must match the size of tensor b (32002) at non-singleton dim"
    codes, _ = answer(f"Traceback (most recent call last):\n{frame}{error}\n")
    assert codes == ["vocab-mismatch"]
