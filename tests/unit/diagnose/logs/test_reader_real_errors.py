"""Error texts of the public trackers get the right code, and tracebacks of other worlds get none."""

from __future__ import annotations

import io
import tomllib
import traceback

import pytest

from envpin.diagnose.logs.reader import diagnose_log
from tests.support.places import DATA

ERRORS = [
    error
    for file in ("errors.toml", "errors_held_out.toml")
    for error in tomllib.loads((DATA / file).read_text(encoding="utf-8"))["error"]
]

# Each line raises by itself; nothing of it has to do with models.
UNRELATED = """
1 / 0
[][3]
{}["qwen2"]
{}["model_type"]
int("x")
None.shape
(1).keys()
[].keys()
"a" + 1
open("/nonexistent/config.json")
open("/nonexistent/model-00001.bin")
import nonexistent_module
import transformers_nonexistent
from collections import HybridThing
from json import Cache
from os import LlamaFlash
(lambda a: a)()
(lambda a: a)(1, 2)
dict(**{"a": 1}, b=undefined)
__import__("json").loads("{")
__import__("json").loads("{'a': 1}")
b"\\xff".decode()
"\\ud800".encode()
__import__("zipfile").ZipFile(__import__("io").BytesIO(b"not a zip"))
__import__("gzip").decompress(b"no gzip at all")
__import__("struct").unpack("<Q", b"abc")
__import__("pickle").loads(b"")
__import__("pickle").dumps(lambda: 0)
__import__("socket").inet_aton("nowhere")
__import__("ipaddress").ip_address("512.1.1.1")
__import__("datetime").date(2024, 13, 1)
__import__("decimal").Decimal("x")
__import__("re").compile("(")
__import__("ast").parse("def")
__import__("tomllib").loads("a = ")
__import__("configparser").ConfigParser().get("a", "b")
__import__("uuid").UUID("x")
__import__("fractions").Fraction("a/b")
__import__("array").array("q", ["a"])
__import__("os").mkdir("/")
__import__("shutil").copy("/nonexistent", "/tmp")
__import__("sqlite3").connect(":memory:").execute("select * from missing")
__import__("xml.dom.minidom").dom.minidom.parseString("<html")
__import__("base64").b64decode("a", validate=True)
__import__("email.message").message.Message().nope
__import__("urllib.parse").parse.urlsplit("http://[")
next(iter([]))
type("Trainer", (), {})(tokenizer=1)
type("Config", (), {"__init__": lambda self: None})(alpha=1)
raise RuntimeError("size of tensor does not fit the shape in the checkpoint")
""".strip().splitlines()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error["source"].removeprefix("https://github.com/"))
def test_a_text_of_a_tracker(error: dict[str, str]) -> None:
    found = diagnose_log(io.BytesIO(error["text"].encode()))
    assert [one.code for one in found.findings] == [error["code"]]


def test_the_collection_is_large_enough() -> None:
    assert len({error["text"] for error in ERRORS}) >= 60
    assert all(error["source"].startswith("https://github.com/") for error in ERRORS)
    assert len(UNRELATED) >= 40


@pytest.mark.parametrize("line", UNRELATED)
def test_an_unrelated_traceback_has_no_code(line: str) -> None:
    try:
        exec(compile(line, "train.py", "exec"), {})  # noqa: S102  the lines above
    except Exception:  # noqa: BLE001  what it raises is the sample
        text = traceback.format_exc()
    else:
        pytest.fail("it did not raise")
    assert diagnose_log(io.BytesIO(text.encode())).findings == ()


def test_all_unrelated_tracebacks_in_one_log_have_no_code() -> None:
    texts = []
    for line in UNRELATED:
        try:
            exec(compile(line, "train.py", "exec"), {})  # noqa: S102
        except Exception:  # noqa: BLE001
            texts.append(traceback.format_exc())
    assert diagnose_log(io.BytesIO("\n".join(texts).encode())).findings == ()
