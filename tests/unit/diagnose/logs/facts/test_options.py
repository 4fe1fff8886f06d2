"""Options that a program does not know: of another release where the facts know one, else refused."""

from __future__ import annotations

import io

import pytest

from envpin.diagnose.logs.reader import diagnose_log

HF = (
    'Traceback (most recent call last):\n  File "/home/user/{}", line 12, in <module>\n    main()\n'
    "ValueError: Some specified arguments are not used by the HfArgumentParser: ['--{}', '1']\n"
)
FACTORY = (
    "Traceback (most recent call last):\n"
    '  File "/home/user/.venv/lib/python3.11/site-packages/llamafactory/hparams/parser.py", line 80, in _parse_args\n'
    "    return parser.parse_dict(args, allow_extra_keys=allow_extra_keys)\n"
    '  File "/home/user/.venv/lib/python3.11/site-packages/transformers/hf_argparser.py", line 396, in parse_dict\n'
    "ValueError: Some keys are not used by the HfArgumentParser: {}\n"
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
        (USAGE.format("Accelerate launch command", "torch_dtype"), "library-api-changed", "write `dtype`"),
        (USAGE.format("Accelerate launch command", "dtype"), "library-api-changed", "has from 0.23 on"),
        (FACTORY.format("['dpo_beta']"), "library-api-changed", "write `pref_beta`"),
        (FACTORY.format("['--checkpoint_dir', 'out']"), "library-api-changed", "'llmtuner<0.4'"),
        (FACTORY.format("['--resume_lora_training', 'True']"), "library-api-changed", "`create_new_adapter`"),
        (FACTORY.format("['enable_thinking']"), "library-api-changed", "'llamafactory>=0.9.3'"),
        (HF.format("train.py", "x").replace("['--x', '1']", "['llama3']"), "settings-refused", "stands alone"),
        (FACTORY.format("['lora_rnk']"), "settings-refused", "lora_rnk"),
        (
            "llamafactory-cli: error: argument --flash_attn/--flash-attn: expected one argument\n",
            "library-api-changed",
            "which was a switch before",
        ),
        (SWIFT.format("dataset_seed"), "library-api-changed", "'ms-swift<3.0'"),
        (USAGE.format("trl", "dataset_streaming"), "library-api-changed", "`ScriptArguments`"),
        ("Accelerate launch command: error: unrecognized arguments: --dataset_config\n", "library-api-changed", "0.13"),
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


VALUE = "ValueError: {} is not a valid {}, please select one of ['adamw_torch', 'linear']\n"
SWIFT_TYPE = "ValueError: model_type: '{}' not in ['emu3_gen', 'qwen2', 'llama']\n"
SWIFT_RUN = "run sh: `swift/cli/sft.py {} ./base`\nValueError: Please set --model <model_id_or_path>, model: None\n"
WANTED = "ValueError: {} must be specified to tokenize a {} dataset.\n"


@pytest.mark.parametrize(
    ("log", "code"),
    [
        (VALUE.format("adamw_hf", "OptimizerNames"), "transformers-api-changed"),
        (VALUE.format("stable_adamw", "OptimizerNames"), "transformers-api-changed"),
        (VALUE.format("warmup_stable_decay", "SchedulerType"), "transformers-api-changed"),
        (VALUE.format("adamw_torhc", "OptimizerNames"), "settings-refused"),
        (VALUE.format("epochs", "IntervalStrategy"), "settings-refused"),
        (SWIFT_TYPE.format("llama3_2"), "library-api-changed"),
        (SWIFT_TYPE.format("qwen2_5-7b-instruct"), "library-api-changed"),
        (SWIFT_TYPE.format("qwen3_5"), "library-api-changed"),
        (SWIFT_TYPE.format("lama"), "settings-refused"),
        (SWIFT_RUN.format("--model_id_or_path"), "library-api-changed"),
        (WANTED.format("tokenizer", "DPO"), "library-api-changed"),
        (WANTED.format("processing_class", "DPO"), "library-api-changed"),
        (WANTED.format("processing_class", "ORPO"), "settings-refused"),
    ],
)
def test_a_value_is_of_another_release_where_one_has_it(log: str, code: str) -> None:
    assert [one.code for one in diagnose_log(io.BytesIO(log.encode())).findings] == [code]


@pytest.mark.parametrize("owner", ["LlavaProcessor.", ""])
def test_a_field_of_a_processors_file_is_of_a_newer_release(owner: str) -> None:
    log = (
        'Traceback (most recent call last):\n  File "/home/user/t.py", line 1, in <module>\n    main()\n  File '
        '"/v/site-packages/transformers/processing_utils.py", line 393, in from_args_and_dict\n    processor = cls('
        f"*args, **processor_dict)\nTypeError: {owner}__init__() got an unexpected keyword argument 'image_token'\n"
    )
    found = diagnose_log(io.BytesIO(log.encode())).findings
    assert [one.code for one in found] == ["tokenizer-needs-newer"]
    assert "`image_token`" in found[0].message
