"""Files that are to be written in folders that are not there, and files that are read and are not there."""

from __future__ import annotations

import io

import pytest

from envpin.diagnose.logs.reader import diagnose_log

_NONE = "FileNotFoundError: [Errno 2] No such file or directory: "
_FIELD = "trainable params: 1 || all params: 2 || trainable%: 0.1\n"


def _frame(path: str, function: str, code: str) -> str:
    return f'  File "/v/lib/python3.11/site-packages/{path}", line 7, in {function}\n    {code}\n'


def _log(code: str, deeper: str, error: str) -> bytes:
    own = f'  File "/home/u/finetune.py", line 40, in <module>\n    {code}\n'
    return f"{_FIELD}Traceback (most recent call last):\n{own}{deeper}{error}\n".encode()


@pytest.mark.parametrize(
    ("code", "deeper", "error", "folder"),
    [
        ('with open(args.output, "w") as f:', "", f"{_NONE}'out/a.json'", "out"),
        ('pickle.dump(x, open("models/v.pkl", "wb"))', "", f"{_NONE}'models/v.pkl'", "models"),
        ("plt.savefig(path)", _frame("PIL/Image.py", "save", 'fp = builtins.open(filename, "w+b")'),
         f"{_NONE}'/h/figs/loss.png'", "/h/figs"),
        ("save_file(sd, path)", _frame("safetensors/torch.py", "save_file", "serialize_file(_flatten(tensors), name)"),
         'FileNotFoundError: No such file or directory: "out/model.safetensors"', "out"),
        ('tokenizer.save("tok/tokenizer.json")', "", "Exception: No such file or directory (os error 2)", "tok"),
        ('df.to_csv("out/p.csv")', _frame("pandas/io/common.py", "check_parent_directory", "raise OSError("),
         "OSError: Cannot save file into a non-existent directory: 'out'", "out"),
        ("torch.onnx.export(m, x, path)",
         _frame("torch/serialization.py", "_open_file_like", 'with _open_file_like(f, "wb") as opened:'),
         f"{_NONE}'onnx/gpt2.onnx'", "onnx"),
    ],
)  # fmt: skip
def test_a_folder_to_write_into_is_no_missing_file(code: str, deeper: str, error: str, folder: str) -> None:
    (found,) = diagnose_log(io.BytesIO(_log(code, deeper, error))).findings
    assert found.code == "settings-refused"
    assert f"the folder `{folder}` is not there" in found.message


@pytest.mark.parametrize(
    "code", ["with open(path) as f:", 'shutil.copy(source, "out/x.json")', 'x = json.load(open(path, "r"))']
)
def test_a_file_that_is_read_is_a_missing_file(code: str) -> None:
    (found,) = diagnose_log(io.BytesIO(_log(code, "", f"{_NONE}'data/train.json'"))).findings
    assert "to be written" not in found.message


def test_the_file_of_a_log_is_named_where_logging_cannot_be_set_up() -> None:
    opened = '  File "/usr/lib/python3.11/logging/__init__.py", line 1213, in _open\n    return open_func(\n'
    direct = "\n\nThe above exception was the direct cause of the following exception:\n\n"
    own = '  File "/home/u/scripts/merge_lora.py", line 17, in <module>\n    setup_logging("configs/logging.yaml")\n'
    log = f"Traceback (most recent call last):\n{opened}{_NONE}'/home/u/logs/run.log'{direct}"
    log += f"Traceback (most recent call last):\n{own}ValueError: Unable to configure handler 'file'\n"
    (found,) = diagnose_log(io.BytesIO(log.encode())).findings
    assert found.code == "settings-refused"
    assert "the folder `/home/u/logs` is not there" in found.message
    other = log.replace("merge_lora", "invoices")
    assert not diagnose_log(io.BytesIO(other.encode())).findings


def test_a_file_in_the_way_of_the_output_is_no_setting() -> None:
    deeper = _frame("transformers/trainer.py", "__init__", "os.makedirs(self.args.output_dir, exist_ok=True)")
    error = "NotADirectoryError: [Errno 20] Not a directory: 'outputs/lora'"
    (found,) = diagnose_log(io.BytesIO(_log("trainer = Trainer(", deeper, error))).findings
    assert found.code == "output-exists"
