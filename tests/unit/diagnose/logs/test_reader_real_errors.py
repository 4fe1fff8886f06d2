"""Error texts of the public trackers get the right code, and tracebacks of other worlds get none."""

from __future__ import annotations

import io
import re
import tomllib
import traceback

import pytest

from envpin.diagnose.logs.facts.releases import BLAMES
from envpin.diagnose.logs.reader import diagnose_log
from tests.support.places import DATA

ERRORS = [
    error
    for file in (
        "errors.toml",
        "errors_held_out.toml",
        "errors_open.toml",
        "errors_blind.toml",
        "errors_blind_second.toml",
        "errors_blind_third.toml",
        "errors_blind_fourth.toml",
        "errors_blind_fifth.toml",
        "errors_open_second.toml",
        "errors_open_third.toml",
        "errors_open_fourth.toml",
        "errors_blind_sixth.toml",
        "errors_blind_seventh.toml",
        "errors_blind_eighth.toml",
        "errors_blind_ninth.toml",
        "errors_blind_tenth.toml",
    )
    for error in tomllib.loads((DATA / file).read_text(encoding="utf-8"))["error"]
]

# Named nothing or another cause: see docs/reference/wild.md.
MISSED = {
    "https://github.com/modelscope/ms-swift/issues/7243",
    "https://github.com/Granddyser/qwen3-vl-comfy-ui/issues/2",
    "https://github.com/2U1/Qwen-VL-Series-Finetune/issues/150",
    "https://github.com/iSEE-Laboratory/LLMDet/issues/19",
    "https://github.com/bytedance/Sa2VA/issues/86",
    "https://github.com/ml-explore/mlx-lm/issues/661",
    "https://github.com/modelscope/ms-swift/issues/8170",
    "https://github.com/unslothai/unsloth/issues/2289",
    "https://github.com/hiyouga/LlamaFactory/issues/6941",
    "https://github.com/unslothai/unsloth/issues/3048",
    "https://github.com/ModelCloud/GPTQModel/issues/1668",
    "https://github.com/huggingface/finetrainers/issues/291",
    "https://github.com/hiyouga/LlamaFactory/issues/6947",
    "https://github.com/modelscope/ms-swift/issues/3524",
    "https://github.com/modelscope/ms-swift/issues/4455",
    "https://github.com/hiyouga/LlamaFactory/issues/9277",
    "https://github.com/modelscope/ms-swift/issues/3763",
    "https://github.com/vllm-project/vllm/issues/29637",
    "https://github.com/ggml-org/llama.cpp/issues/8451",
    "https://github.com/unslothai/unsloth/issues/681",
    "https://github.com/huggingface/transformers/issues/33413",
    "https://github.com/huggingface/trl/issues/3633",
    "https://github.com/verl-project/verl/pull/7987",
    "https://github.com/vllm-project/vllm-omni/issues/5169",
    "https://github.com/open-compass/VLMEvalKit/issues/1260",
    "https://github.com/huggingface/trl/pull/2843",
    "https://github.com/huggingface/peft/issues/2285",
    "https://github.com/huggingface/accelerate/issues/3827",
    "https://github.com/MakazhanAlpamys/Soup/issues/565",
    "https://github.com/ml-explore/mlx-lm/issues/1576",
    "https://github.com/modelscope/ms-swift/issues/6629",
    "https://github.com/unslothai/unsloth/issues/2400",
    "https://github.com/unslothai/unsloth/issues/2970",
    "https://github.com/modelscope/ms-swift/issues/7836",
    "https://github.com/NVIDIA-NeMo/Megatron-Bridge/issues/4107",
    "https://github.com/daydreamlive/scope/issues/922",
    "https://github.com/modelscope/ms-swift/issues/8453",
    "https://github.com/vllm-project/llm-compressor/issues/1164",
    "https://github.com/unslothai/unsloth/issues/1925",
    "https://github.com/vllm-project/llm-compressor/issues/2000",
    "https://github.com/huggingface/trl/issues/2782",
    "https://github.com/vllm-project/vllm/issues/15400",
    "https://github.com/modelscope/ms-swift/issues/2566",
    "https://github.com/huggingface/sentence-transformers/issues/3402",
    "https://github.com/verl-project/verl/issues/1368",
    "https://github.com/unslothai/unsloth/issues/2649",
    "https://github.com/modelscope/ms-swift/issues/5981",
    "https://github.com/unslothai/unsloth/issues/1495",
    "https://github.com/deepspeedai/DeepSpeed/issues/7260",
    "https://github.com/intel/auto-round/issues/1464",
    "https://github.com/vllm-project/vllm/pull/52194",
    "https://github.com/unslothai/unsloth/issues/1624",
    "https://github.com/unslothai/unsloth/issues/4942",
    "https://github.com/vllm-project/tpu-inference/issues/2207",
    "https://github.com/OpenRLHF/OpenRLHF/issues/1028",
    "https://github.com/2U1/Qwen-VL-Series-Finetune/issues/142#second",
    "https://github.com/braindecode/braindecode/issues/1008",
    "https://github.com/huggingface/trl/issues/2698",
    "https://github.com/OpenRLHF/OpenRLHF/issues/910",
    "https://github.com/embeddings-benchmark/mteb/pull/5059",
    "https://github.com/verl-project/verl/issues/2082",
    "https://github.com/modelscope/ms-swift/issues/9997",
    "https://github.com/vllm-project/vllm-ascend/pull/6986",
    "https://github.com/We-Math/We-Math2.0/issues/3",
    "https://github.com/ByteDance-Seed/Seed-Coder/issues/6",
    "https://github.com/huggingface/peft/issues/3201",
    "https://github.com/hako-mikan/traintrain-standalone/issues/5",
    "https://github.com/sgl-project/sglang/issues/10602",
    "https://github.com/modelscope/ms-swift/issues/4165",
    "https://github.com/unslothai/unsloth/issues/2013",
    "https://github.com/huggingface/trl/issues/4284",
    "https://github.com/arcee-ai/mergekit/issues/574",
    "https://github.com/jingyaogong/minimind/issues/261",
    "https://github.com/Akegarasu/lora-scripts/issues/626",
    "https://github.com/siyuhsu/vla-cache/issues/2",
    "https://github.com/ggml-org/llama.cpp/issues/23047",
    "https://github.com/ModelCloud/GPTQModel/issues/1080",
    "https://github.com/huggingface/transformers/issues/37692",
    "https://github.com/QwenLM/Qwen2.5-Omni/issues/230",
    "https://github.com/2U1/Qwen-VL-Series-Finetune/issues/112",
    "https://github.com/ideaweaver-ai/Tiny-Children-Stories-30M-model/issues/2",
    "https://github.com/allenai/olmocr/pull/255",
    "https://github.com/huggingface/trl/issues/2718",
    "https://github.com/huggingface/trl/issues/1977",
    "https://github.com/ruc-datalab/RewardSQL/issues/7",
    "https://github.com/xorbitsai/inference/issues/4024",
    "https://github.com/DataArcTech/SQL-R1/issues/4",
    "https://github.com/ATH-MaaS/Ovis/issues/88",
    "https://github.com/huggingface/text-generation-inference/issues/2926",
}
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
type("LRUCache", (), {})().get_max_length
type("AppConfig", (), {})().vocab_size
type("RouterConfig", (), {})().rope
type("WordTokenizer", (), {})().encode_plus
type("Adapter", (), {})().merge
type("Accelerator", (), {"run": lambda self: None})().run(fast=True)
raise ImportError("this feature requires the extra `plot`: pip install matplotlib")
raise ValueError("Can't find 'settings.json' at './conf'")
raise ValueError("Target module nav is not supported on this page")
raise LookupError("No adapter found for requests.Session")
raise ImportError("cannot import name 'Dataset' from 'myproject.data'")
import peftools
raise ValueError("You must specify a template for this page")
raise ValueError("Column price not found in the spreadsheet")
raise TypeError("View.__init__() got an unexpected keyword argument 'slug'")
raise AttributeError("'Invoice' object has no attribute 'total'")
raise AttributeError("Session has no attribute `token`")
raise NameError("name 'Shared' is not defined")
raise ImportError("cannot import name 'url' from 'django.conf.urls' (/srv/site-packages/django/conf/urls/__init__.py)")
raise ModuleNotFoundError("No module named 'sklearn.externals.joblib'")
raise KeyError("orders.0.weight_in_grams")
raise ValueError("not enough values to unpack (expected 3, got 2)")
raise ConnectionError("HTTPSConnectionPool(host='api.example.org', port=443): Max retries exceeded with url: /v1")
raise RuntimeError("generator raised StopIteration")
raise ValueError("Model not found: Car")
raise LookupError("unknown architecture: sparc")
raise ValueError("the batch is not divisible into equal parts")
raise RuntimeError("This event loop is already running")
raise ValueError("Template base.html does exist twice")
raise ValueError("1 validation error for Order")
raise RuntimeError("worker died")
raise PermissionError("403 Client Error: Forbidden for url: https://api.example.org/v2/orders")
""".strip().splitlines()

# Tracebacks of other fields as they are printed: the file and function of the last frame, its line of code, the error.
FOREIGN = (DATA / "foreign_tracebacks.txt").read_text(encoding="utf-8").splitlines()
# Logs of other fields, whole: games, databases, web, compilers, CUDA programs.
FOREIGN_LOGS = tomllib.loads((DATA / "foreign_logs.toml").read_text(encoding="utf-8"))["log"]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error["source"].removeprefix("https://github.com/"))
def test_a_text_of_a_tracker(error: dict[str, str]) -> None:
    found = [one.code for one in diagnose_log(io.BytesIO(error["text"].encode())).findings]
    if error["source"] in MISSED:
        assert error["code"] not in found if error["code"] else found
    else:
        assert error["code"] in found if error["code"] else not found


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error["source"].removeprefix("https://github.com/"))
def test_an_answer_that_blames_a_version_names_it(error: dict[str, str]) -> None:
    for one in diagnose_log(io.BytesIO(error["text"].encode())).findings:
        assert one.code not in BLAMES or re.search(r"(?:\d+\.\d+|< \d)", " ".join((one.message, *one.fix)))


def test_the_collection_is_large_enough() -> None:
    assert len({error["text"] for error in ERRORS}) >= 60
    assert all(error["source"].startswith("https://github.com/") for error in ERRORS)
    assert len(UNRELATED) >= 82
    assert len(FOREIGN) >= 30
    assert len(FOREIGN_LOGS) >= 30


@pytest.mark.parametrize("line", UNRELATED)
def test_an_unrelated_traceback_has_no_code(line: str) -> None:
    try:
        exec(compile(line, "train.py", "exec"), {})  # noqa: S102  the lines above
    except Exception:  # noqa: BLE001  what it raises is the sample
        text = traceback.format_exc()
    else:
        pytest.fail("it did not raise")
    assert diagnose_log(io.BytesIO(text.encode())).findings == ()


def foreign(entry: str) -> str:
    file, function, source, error = entry.split("|", 3)
    return (
        'Traceback (most recent call last):\n  File "/srv/project/app.py", line 12, in <module>\n    main()\n'
        f'  File "{file}", line 88, in {function}\n    {source}\n{error}\n'
    )


@pytest.mark.parametrize("entry", FOREIGN, ids=lambda entry: entry.rpartition("|")[2][:60])
def test_a_traceback_of_another_field_has_no_code(entry: str) -> None:
    assert diagnose_log(io.BytesIO(foreign(entry).encode())).findings == ()


@pytest.mark.parametrize("log", FOREIGN_LOGS, ids=lambda log: f"{log['field']}: {log['text'].strip()[-50:]}")
def test_a_log_of_another_field_has_no_code(log: dict[str, str]) -> None:
    assert diagnose_log(io.BytesIO(log["text"].encode())).findings == ()


def test_all_unrelated_tracebacks_in_one_log_have_no_code() -> None:
    texts = []
    for line in UNRELATED:
        try:
            exec(compile(line, "train.py", "exec"), {})  # noqa: S102
        except Exception:  # noqa: BLE001
            texts.append(traceback.format_exc())
    texts += map(foreign, FOREIGN)
    texts += [log["text"] for log in FOREIGN_LOGS]
    assert diagnose_log(io.BytesIO("\n".join(texts).encode())).findings == ()
