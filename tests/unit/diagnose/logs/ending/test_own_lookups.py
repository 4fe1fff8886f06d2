"""A place of a list or text, and text or an object where a script's line wants something else."""

from __future__ import annotations

import pytest

from tests.support.logs import SCRIPT, answer

FRAME = '  File "/srv/work/{path}", line 40, in main\n    {code}\n'


@pytest.mark.parametrize(
    ("code", "line", "expected", "said"),
    [
        ("repo = f\"{model_id.split('/')[1]}-x\"\n              ~~~~~~~~~~~~~~~~~~~^^^",
         "IndexError: list index out of range", "settings-refused", "ORG/NAME"),
        ('return output.split("### Response:")[1].strip()\n           ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~^^^',
         "IndexError: list index out of range", "data-not-as-expected", "what the model wrote"),
        ('tag = line.split()[3]\n          ~~~~~~~~~~~~^^^', "IndexError: list index out of range",
         "data-not-as-expected", "takes part 4"),
        ("'Positive': scores[2]\n                ~~~~~~^^^",
         "IndexError: index 2 is out of bounds for axis 0 with size 2", "model-of-another-kind", "at least 3 classes"),
        ('rows, val = data[args.n:], data[: args.n]\n                ~~~~^^^^^^^^^',
         "TypeError: unhashable type: 'slice'", "data-not-as-expected", "rows of `data`"),
        ('steps = int(cfg["train"]["warmup"] * total)', "TypeError: can't multiply sequence by non-int of type 'float'",
         "settings-refused", "without quotes"),
        ('return row["duration"] / 2', "TypeError: unsupported operand type(s) for /: 'str' and 'int'",
         "data-not-as-expected", "`duration`"),
        ('sched = make(opt, cfg["train"]["warmup"])', "KeyError: 'warmup'", "settings-refused", 'in `cfg["train"]`'),
        ('raise ValueError(f"Can\'t read {name}")', "ValueError: Can't read templates/vicuna.json", "settings-refused",
         "ls templates"),
        ('t = [cat2id[ann["category_id"]] for ann in anns]\n         ~~~~~~^^^^^^^^^^^^^^^^^^^^', "KeyError: 91",
         "data-not-as-expected", "`cat2id`"),
        ('opt = OPTIMIZERS[cfg["optimizer"]]()\n          ~~~~~~~~~~^^^^^^^^^^^^^^^^^^', "KeyError: 'adam_w'",
         "settings-refused", "'adam_w' as `optimizer`"),
        ('a = ex["conversations"][1]["value"]\n        ~~~~~~~~~~~~~~~~~~~^^^', "IndexError: list index out of range",
         "data-not-as-expected", "takes number 2 of the field `conversations`"),
        ('x, y, w, h = ann["bbox"]\n    ^^^^^^^^^^', "ValueError: not enough values to unpack (expected 4, got 3)",
         "data-not-as-expected", "`bbox`"),
        ('size = cfg["batch_size"]', "TypeError: 'NoneType' object is not subscriptable", "settings-refused",
         "is empty"),
        ("cfg = TrainConfig(**raw)",
         "TypeError: TrainConfig.__init__() missing 1 required positional argument: 'model_name'", "settings-refused",
         "leave out `model_name`"),
        ("for epoch in range(cfg.num_epochs):",
         "AttributeError: 'types.SimpleNamespace' object has no attribute 'num_epochs'", "settings-refused",
         "`num_epochs`"),
        ('assert ok(), "x"', "AssertionError: This script requires a GPU", "gpu-not-supported", "requires a GPU"),
        ("raise NotImplementedError(", "NotImplementedError: Pooling strategy avg is not implemented",
         "settings-refused", "Pooling"),
        ("raise ValueError(", "ValueError: Label 5 at row 1 is out of range [0, 5)", "index-out-of-range", "row 1"),
        ("raise ValueError(", "ValueError: Input is too long: 812 tokens, but the model supports at most 512",
         "inputs-do-not-fit", "812 tokens"),
        ('raise ValueError("x")', "ValueError: No trainable samples after tokenization/truncation.", "settings-refused",
         "max_seq_length"),
    ],
)  # fmt: skip
def test_what_a_line_takes_and_does_not_get_is_said(code: str, line: str, expected: str, said: str) -> None:
    codes, text = answer(f"{SCRIPT}{FRAME.format(path='train_lora.py', code=code)}{line}\n")
    assert codes == [expected]
    assert said in text


@pytest.mark.parametrize("code", ["part = url.split('/')[7]\n           ~~~~~~~~~~~~~~^^^", "x = scores[2]"])
def test_a_script_of_another_field_stays_unexplained(code: str) -> None:
    log = f"Traceback (most recent call last):\n{FRAME.format(path='crawl.py', code=code)}"
    assert answer(f"{log}IndexError: list index out of range\n")[0] == []


def test_settings_that_are_no_json_are_no_file_of_a_model() -> None:
    log = (
        f"{SCRIPT}{FRAME.format(path='train_lora.py', code='cfg = json.load(f)')}"
        '  File "/usr/lib/python3.11/json/decoder.py", line 353, in raw_decode\n    obj, end = self.scan_once(s, idx)\n'
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 6 column 1 (char 287)\n"
    )
    codes, text = answer(log)
    assert codes == ["settings-refused"]
    assert "sed -n 6p FILE" in text


def test_the_line_that_a_script_names_of_its_data_is_said() -> None:
    log = (
        f"{SCRIPT}{FRAME.format(path='train_lora.py', code='rows.append(json.loads(line))')}"
        '  File "/usr/lib/python3.11/json/decoder.py", line 353, in raw_decode\n    obj, end = self.scan_once(s, idx)\n'
        "json.decoder.JSONDecodeError: Expecting ',' delimiter: line 1 column 9 (char 8)\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        f"{SCRIPT}{FRAME.format(path='train_lora.py', code='raise ValueError(')}"
        "ValueError: Linha 17 com JSON inválido: Expecting ',' delimiter: line 1 column 9 (char 8)\n"
    )
    codes, text = answer(log)
    assert codes == ["data-not-as-expected"]
    assert "sed -n 17p FILE" in text


def test_several_files_that_are_missing_are_all_named() -> None:
    codes, text = answer("Missing files: ['pytorch_model.bin', 'tokenizer.json']\n")
    assert codes == ["tokenizer-missing"]
    assert "`pytorch_model.bin`, `tokenizer.json`" in text


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("❌ Error training chat-1: 'response'", ["data-not-as-expected"]),
        ('Failed to load dataset: "train"', ["data-not-as-expected"]),
        ("Error processing row 3: KeyError: 'instruction'", ["data-not-as-expected"]),
        ("Error: 'q_proj'", []),
        ("Wrote the results to: 'text'", []),
    ],
)
def test_a_key_that_is_printed_alone_is_one_that_the_data_lack(line: str, codes: list[str]) -> None:
    log = f"Loading base model: org/base\n{line}\nContinuing with the next one\nTraining complete!\n"
    assert answer(log)[0] == codes
