"""Answers that were true and vague, or named another fault first: what the log holds is said."""

from __future__ import annotations

import io

import pytest

from envpin.diagnose.logs.reader import diagnose_log

SITE = "/home/user/.venv/lib/python3.11/site-packages"
CASES = {
    "a pickle of another scikit-learn": (
        (
            f'  File "/home/user/app.py", line 3, in <module>\n    model.predict(texts)\n'
            f'  File "{SITE}/setfit/modeling.py", line 515, in predict_proba\n    self.model_head.predict_proba(x)\n'
            f'  File "{SITE}/sklearn/linear_model/_logistic.py", line 1376, in predict_proba\n    self.multi_class\n'
            "AttributeError: 'LogisticRegression' object has no attribute 'multi_class'\n"
        ),
        "library-api-changed",
        "saved by another scikit-learn",
    ),
    "a name that is imported where a package is": (
        (
            f'  File "{SITE}/optimum/gptq/quantizer.py", line 168, in __init__\n    self.q = QuantizeConfig(\n'
            "NameError: name 'QuantizeConfig' is not defined\n"
        ),
        "package-missing",
        "only where gptqmodel is installed",
    ),
    "a row without a text": (
        (
            f'  File "{SITE}/datasets/arrow_dataset.py", line 3547, in apply_function\n    x()\n'
            f'  File "{SITE}/trl/dpo_trainer.py", line 704, in tokenize_row\n'
            '    ids = tokenizer(features["rejected"], add_special_tokens=False)["input_ids"]\n'
            f'  File "{SITE}/transformers/tokenization_utils_base.py", line 2904, in __call__\n    raise X\n'
            "ValueError: You need to specify either `text` or `text_target`.\n"
        ),
        "data-not-as-expected",
        "in the column `rejected`",
    ),
    "a folder for the output": (
        (
            "  File \"/home/user/sql-finetune/train_t5.py\", line 71, in save\n    with open(sql_path, 'w') as f:\n"
            "FileNotFoundError: [Errno 2] No such file or directory: 'results/dev.sql'\n"
        ),
        "settings-refused",
        "the folder `results` is not there",
    ),
    "an adapter's weights that peft looks for on the Hub": (
        f'  File "{SITE}/peft/utils/save_and_load.py", line 745, in load_peft_weights\n    has = file_exists(x)\n'
        + f'  File "{SITE}/httpcore/_sync/connection.py", line 101, in handle_request\n    x()\n' * 12
        + f'  File "{SITE}/huggingface_hub/utils/_http.py", line 3, in http_backoff\n    x()\n'
        + f'  File "{SITE}/httpx2/_client.py", line 3, in send\n    x()\n' * 12
        + "httpx2.ConnectError: [Errno -2] Name or service not known\n",
        "adapter-not-found",
        "no adapter_model.safetensors",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_answer_says_what_the_log_holds(case: str) -> None:
    log, code, words = CASES[case]
    found = diagnose_log(io.BytesIO(f"Traceback (most recent call last):\n{log}".encode())).findings
    assert (found[0].code, words in found[0].message) == (code, True), found[0].message


def test_a_script_of_another_field_that_writes_is_left_alone() -> None:
    log = (
        'Traceback (most recent call last):\n  File "/srv/shop/r.py", line 2, in <module>\n    open("a/b.csv", "w")\n'
        "FileNotFoundError: [Errno 2] No such file or directory: 'a/b.csv'\n"
    )
    assert not diagnose_log(io.BytesIO(log.encode())).findings


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("ValueError: bad line b'version https://git-lfs.github.com/spec/v1'", "lfs-pointer", "that was read: the"),
        ("RuntimeError: NaN detected in latents", "loss-not-finite", "NaN of an image: SDXL"),
        (
            "ValueError: No columns in the dataset match the model's forward method signature.",
            "data-not-as-expected", "column",
        ),
    ],
)  # fmt: skip
def test_a_name_that_the_log_does_not_show_leaves_no_empty_parentheses(line: str, code: str, says: str) -> None:
    log = f'Traceback (most recent call last):\n  File "train.py", line 3, in <module>\n    main()\n{line}\n'
    found = diagnose_log(io.BytesIO(log.encode()))
    shown = next(one for one in found.findings if one.code == code).message
    assert says in shown
    assert "()" not in shown
