"""What a script stops at in its own code, in logs that show this field."""

from __future__ import annotations

import pytest

from tests.support.logs import SCRIPT, answer, codes

FIELD = "trainable params: 8 || all params: 16\n"
OWN = 'Traceback (most recent call last):\n  File "/home/me/merge_lora.py", line 8, in blend\n    {code}\n'


@pytest.mark.parametrize(
    ("code", "line", "cause", "said"),
    [
        ("from torchcrf import CRF", "ModuleNotFoundError: No module named 'torchcrf'", "package-missing",
         "pytorch-crf"),
        ("import onnxscript", "ModuleNotFoundError: No module named 'onnxscript'", "package-missing", "`onnxscript`"),
        ("rows.append(json.loads(line))", "json.decoder.JSONDecodeError: Extra data: line 1 column 321 (char 320)",
         "data-not-as-expected", "JSON Lines"),
        ("a[key] = (a[key] + b[key]) / 2",
         "RuntimeError: The size of tensor a (8) must match the size of tensor b (16) at non-singleton dimension 0",
         "rank-mismatch", "8 and 16"),
        ("a[key] = (a[key] + b[key]) / 2",
         "RuntimeError: The size of tensor a (64) must match the size of tensor b (96) at non-singleton dimension 1",
         "wrong-base-hidden-size", "64 and 96"),
        ("a[key] = (a[key] + b[key]) / 2",
         "KeyError: 'base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight'", "unmatched-adapter-keys",
         "v_proj"),
        ("for line in infile:",
         "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xa3 in position 6: invalid start byte",
         "data-not-as-expected", "encoding"),
        ('return " ".join([turn["content"] for turn in talk])', "TypeError: string indices must be integers, not 'str'",
         "data-not-as-expected", "conversations"),
    ],
)  # fmt: skip
def test_a_script_of_this_field_stops(code: str, line: str, cause: str, said: str) -> None:
    codes, text = answer(f"{FIELD}{OWN.format(code=code)}{line}\n")
    assert codes == [cause]
    assert said in text


def test_a_part_of_the_program_itself_is_to_be_found_and_not_installed() -> None:
    log = f"{OWN.format(code='from utils import f')}ModuleNotFoundError: No module named 'utils'\n"
    codes, said = answer(FIELD + log)
    assert codes == ["package-missing"]
    assert "PYTHONPATH=." in said
    assert "pip install utils" not in said
    assert answer(log.replace("merge_lora", "run"))[0] == []


UNEQUAL = "RuntimeError: The size of tensor a ({}) must match the size of tensor b ({}) at non-singleton dimension {}"
TWO_MODELS = "Loading checkpoint shards: 100%|###| 2/2\n" + SCRIPT.replace("train_lora.py", "average_llm.py").replace(
    "    main()\n", "    merged[k] = 0.5 * a[k] + 0.5 * b[k]\n"
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UNEQUAL.format(32000, 32001, 0), "vocab-mismatch"),
        (UNEQUAL.format(4096, 5120, 1), "wrong-base-hidden-size"),
        ("ValueError: operands could not be broadcast together with shapes (50257,768) (50258,768) ", "vocab-mismatch"),
    ],
)
def test_two_models_that_a_script_averages_differ_in_what_the_sizes_tell(error: str, code: str) -> None:
    assert codes(f"{TWO_MODELS}{error}\n") == [code]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", "unmatched-adapter-keys"),
        ("model.layers.0.self_attn.q_proj.weight", "architecture-drift"),
    ],
)
def test_a_script_that_counts_the_keys_it_loaded(names: str, code: str) -> None:
    log = SCRIPT.replace("    main()\n", '    assert not missing, f"missing keys: {missing}"\n')
    assert codes(f"{log}AssertionError: missing keys: ['{names}']\n") == [code]
