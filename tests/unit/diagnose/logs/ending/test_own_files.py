from __future__ import annotations

import io

import pytest

from envpin.diagnose.logs.reader import diagnose_log
from tests.support.logs import answer

# The line at which a script stops, its error, the cause, and a word that the answer has to hold.
STOPPED = [
    ("with open('results/a.json', 'w') as f:",
     "FileNotFoundError: [Errno 2] No such file or directory: 'results/a.json'", "settings-refused",
     "mkdir -p results"),
    ("out.mkdir(parents=True)", "FileNotFoundError: [Errno 2] No such file or directory: '/proc/models'",
     "settings-refused", "`/proc` is not there"),
    ("os.makedirs(args.out, exist_ok=True)", "NotADirectoryError: [Errno 20] Not a directory: 'out/merged/x'",
     "output-exists", "is a file"),
    ("model.load_state_dict(torch.load(args.ckpt))", "IsADirectoryError: [Errno 21] Is a directory: 'ckpt/epoch_3'",
     "base-not-found", "it is a folder"),
    ("for f in os.listdir(args.adapter):", "NotADirectoryError: [Errno 20] Not a directory: 'out/adapter_model.bin'",
     "adapter-not-found", "ls out"),
    ("os.makedirs(args.output_dir)", "FileExistsError: [Errno 17] File exists: 'out/merged'", "output-exists",
     "out/merged"),
    ("os.makedirs(args.output_dir)", "OSError: [Errno 30] Read-only file system: '/kaggle/input/out'",
     "settings-refused", "read-only"),
    ("os.makedirs(os.path.dirname(args.output_path), exist_ok=True)",
     "FileNotFoundError: [Errno 2] No such file or directory: ''", "settings-refused", "`output_path` with a folder"),
    ("with wave.open('clip.wav') as f:\n  File \"/usr/lib/python3.11/chunk.py\", line 67, in init\n    raise EOFError",
     "EOFError", "truncated-file", "ls -l clip.wav"),
    ('token = getpass.getpass("Enter your HF_TOKEN: ")', "EOFError", "settings-refused", "HF_TOKEN"),
    ('feats = pickle.load(open("cache/features.pkl", "rb"))', "EOFError: Ran out of input", "truncated-file",
     "cache/features.pkl"),
    ('print(tokenizer.decode(out))', "UnicodeEncodeError: 'charmap' codec can't encode character '\\u4f60'",
     "settings-refused", "PYTHONUTF8=1"),
    ('first = glob.glob(f"{args.model}/*.safetensors")[0]', "IndexError: list index out of range", "missing-shard",
     "*.safetensors"),
    ("assert args.model_name_or_path", "AssertionError", "settings-refused", "--model_name_or_path"),
    ('raise "Could not find model files"', "TypeError: exceptions must derive from BaseException", "missing-shard",
     "Could not find model files"),
    ('logger.error(f"Invalid model: supported are Qwen, Llama")', "NameError: name 'logger' is not defined",
     "settings-refused", "Invalid model"),
    ('text = open("corpus.txt").read()', "UnicodeDecodeError: 'gbk' codec can't decode byte 0xae in position 42: x",
     "data-not-as-expected", 'encoding="utf-8"'),
    ('text = open("corpus.txt").read()', "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: x",
     "data-not-as-expected", "UTF-16"),
    ('assert token, "Set HF_TOKEN in your .env"', "AssertionError: Set HF_TOKEN in your .env", "settings-refused",
     "export HF_TOKEN"),
]  # fmt: skip


@pytest.mark.parametrize(("code_line", "error", "code", "word"), STOPPED, ids=lambda one: one[:30])
def test_a_call_for_a_file_tells_what_is_wrong(code_line: str, error: str, code: str, word: str) -> None:
    log = (
        'Traceback (most recent call last):\n  File "/home/user/proj/merge_lora.py", line 12, in <module>\n'
        f"    {code_line}\n{error}\n"
    )
    findings = diagnose_log(io.BytesIO(log.encode())).findings
    assert findings[0].code == code
    assert word in f"{findings[0].message} {' '.join(findings[0].fix or ())}"


@pytest.mark.parametrize(("program", "code"), [("numactl", "package-missing"), ("gcc", "compiler-missing")])
def test_a_program_that_a_library_starts_is_missing(program: str, code: str) -> None:
    site = "/v/lib/python3.11/site-packages"
    codes, text = answer(
        f'Traceback (most recent call last):\n  File "{site}/deepspeed/utils/numa.py", line 26, in get_numa_cores\n'
        "    output = subprocess.check_output(command)\n"
        '  File "/usr/lib/python3.11/subprocess.py", line 1950, in _execute_child\n'
        "    raise child_exception_type(errno_num, err_msg, err_filename)\n"
        f"FileNotFoundError: [Errno 2] No such file or directory: '{program}'\n"
    )
    assert codes == [code]
    assert f"deepspeed starts the program `{program}`" in text
