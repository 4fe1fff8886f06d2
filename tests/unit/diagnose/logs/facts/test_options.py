"""Options that a program does not know: of another release where the facts know one, else refused."""

from __future__ import annotations

import io

import pytest

from envpin.diagnose.logs.reader import diagnose_log

HF = (
    'Traceback (most recent call last):\n  File "/home/user/{}", line 12, in <module>\n    main()\n'
    "ValueError: Some specified arguments are not used by the HfArgumentParser: ['--{}', '1']\n"
)
SWIFT = "[INFO:swift] rank: -1\nValueError: remaining_argv: ['--{}', 'lora']\n"
USAGE = "usage: {0} [-h] [--model_name_or_path MODEL]\n{0}: error: unrecognized arguments: --{1} 512\n"


@pytest.mark.parametrize(
    ("log", "code", "says"),
    [
        (HF.format("run_clm.py", "evaluation_strategy"), "transformers-api-changed", "write `eval_strategy`"),
        (HF.format("run_qa.py", "eval_strategy"), "transformers-api-changed", "write `evaluation_strategy`"),
        (HF.format("run_qa.py", "eval_strateg"), "settings-refused", "eval_strateg"),
        (HF.format("trl/scripts/sft.py", "max_seq_length"), "library-api-changed", "write `max_length`"),
        (HF.format("trl/scripts/grpo.py", "max_prompt_length"), "library-api-changed", "`GRPOConfig`"),
        (HF.format("sft.py", "dataset_text_feild"), "settings-refused", "dataset_text_feild"),
        (SWIFT.format("train_type"), "library-api-changed", "write `--tuner_type`"),
        (SWIFT.format("tuner_type"), "library-api-changed", "write `--train_type`"),
        (SWIFT.format("lora_rnk"), "settings-refused", "lora_rnk"),
        (USAGE.format("trl", "max_seq_length"), "library-api-changed", "of an older trl"),
        (USAGE.format("train.py", "evaluation_strategy"), "settings-refused", "evaluation_strategy"),
    ],
)
def test_an_option_is_of_another_release_where_one_has_it(log: str, code: str, says: str) -> None:
    findings = diagnose_log(io.BytesIO(log.encode())).findings
    assert [one.code for one in findings] == [code]
    assert says in " ".join((findings[0].message, *findings[0].fix))


@pytest.mark.parametrize(
    ("name", "path", "package"),
    [
        ("HQQBaseQuantizeConfig", "transformers/utils/quantization_config.py", "hqq"),
        ("GPTQQuantizer", "transformers/quantizers/quantizer_gptq.py", "gptqmodel"),
    ],
)
def test_a_name_without_a_value_is_of_an_optional_package(name: str, path: str, package: str) -> None:
    log = (
        f'Traceback (most recent call last):\n  File "/x/lib/python3.11/site-packages/{path}", line 5, in f\n'
        f"    x = {name}()\nUnboundLocalError: cannot access local variable '{name}' where it is not associated "
        "with a value\n"
    )
    found = diagnose_log(io.BytesIO(log.encode())).findings
    assert [one.code for one in found] == ["package-missing"]
    assert f"pip install {package}" in found[0].fix[0]


def test_a_variable_without_a_value_is_of_no_package() -> None:
    log = (
        'Traceback (most recent call last):\n  File "/x/lib/python3.11/site-packages/transformers/integrations/'
        "bitsandbytes.py\", line 5, in f\n    x = loss\nUnboundLocalError: local variable 'loss' referenced before "
        "assignment\n"
    )
    assert "package-missing" not in [one.code for one in diagnose_log(io.BytesIO(log.encode())).findings]
