"""Error texts of the public trackers get the right code, and tracebacks of other worlds get none."""

from __future__ import annotations

import io
import re
import tomllib
import traceback

import pytest

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
    )
    for error in tomllib.loads((DATA / file).read_text(encoding="utf-8"))["error"]
]

RECENT = tomllib.loads((DATA / "errors_open.toml").read_text(encoding="utf-8"))["error"]
# Named nothing: see docs/reference/wild.md.
MISSED = {
    "https://github.com/huggingface/trl/issues/4273",
    "https://github.com/bytedance/Sa2VA/issues/86",
    "https://github.com/ml-explore/mlx-lm/issues/661",
    "https://github.com/modelscope/ms-swift/issues/8170",
    "https://github.com/unslothai/unsloth/issues/2289",
    "https://github.com/hiyouga/LlamaFactory/issues/6941",
    "https://github.com/om-ai-lab/VLM-R1/issues/282",
    "https://github.com/unslothai/unsloth/issues/3048",
    "https://github.com/ModelCloud/GPTQModel/issues/1668",
    "https://github.com/unslothai/unsloth/issues/2247",
}
# A code of these blames a version, and the answer names it.
VERSIONED = {"config-needs-newer-transformers", "config-needs-older-transformers", "transformers-api-changed",
             "adapter-needs-newer-peft", "adapter-needs-older-peft", "tokenizer-needs-newer", "torch-too-old-for-bin",
             "library-api-changed", "numpy-abi", "peft-transformers-incompatible",
             "rope-config-unreadable"}  # fmt: skip

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
FOREIGN = """
/srv/venv/lib/python3.12/site-packages/django/db/models/options.py|get_field|raise FieldDoesNotExist(|django.core.exceptions.FieldDoesNotExist: Order has no field named 'total'
/srv/venv/lib/python3.12/site-packages/django/db/backends/utils.py|_execute|return self.cursor.execute(sql, params)|django.db.utils.OperationalError: no such table: shop_order
/srv/venv/lib/python3.12/site-packages/django/template/loader.py|get_template|raise TemplateDoesNotExist(|django.template.exceptions.TemplateDoesNotExist: shop/model.html
/srv/venv/lib/python3.12/site-packages/django/conf/__init__.py|_setup|raise ImproperlyConfigured(|django.core.exceptions.ImproperlyConfigured: Requested setting INSTALLED_APPS, but settings are not configured. You must define the environment variable
/srv/venv/lib/python3.12/site-packages/django/urls/base.py|reverse|raise NoReverseMatch(msg)|django.urls.exceptions.NoReverseMatch: Reverse for 'train' not found. 'train' is not a valid view function or pattern name.
/srv/venv/lib/python3.12/site-packages/pandas/core/indexes/base.py|get_loc|raise KeyError(key) from err|KeyError: 'text'
/srv/venv/lib/python3.12/site-packages/pandas/core/reshape/merge.py|_maybe_coerce_merge_keys|raise ValueError(msg)|ValueError: You are trying to merge on object and int64 columns for key 'id'. If you wish to proceed you should use pd.concat
/srv/venv/lib/python3.12/site-packages/pandas/core/generic.py|__getattr__|return object.__getattribute__(self, name)|AttributeError: 'DataFrame' object has no attribute 'append'
/srv/venv/lib/python3.12/site-packages/pandas/io/parsers/c_parser_wrapper.py|read|chunks = self._reader.read_low_memory(nrows)|pandas.errors.ParserError: Error tokenizing data. C error: Expected 3 fields in line 7, saw 5
/srv/venv/lib/python3.12/site-packages/pandas/core/frame.py|_ensure_valid_index|raise ValueError(|ValueError: Length of values (3) does not match length of index (4)
/srv/venv/lib/python3.12/site-packages/numpy/linalg/_linalg.py|_raise_linalgerror_singular|raise LinAlgError("Singular matrix")|numpy.linalg.LinAlgError: Singular matrix
/srv/grid/solve.py|step|return a @ b|ValueError: matmul: Input operand 1 has a mismatch in its core dimension 0, with gufunc signature (n?,k),(k,m?)->(n?,m?) (size 4 is different from 3)
/srv/grid/solve.py|step|out += field|ValueError: operands could not be broadcast together with shapes (3,) (4,)
/srv/venv/lib/python3.12/site-packages/scipy/optimize/_minpack_py.py|curve_fit|raise RuntimeError("Optimal parameters not found: " + errmsg)|RuntimeError: Optimal parameters not found: Number of calls to function has reached maxfev = 800.
/srv/venv/lib/python3.12/site-packages/sklearn/utils/validation.py|check_is_fitted|raise NotFittedError(msg % {"name": type(estimator).__name__})|sklearn.exceptions.NotFittedError: This StandardScaler instance is not fitted yet. Call 'fit' with appropriate arguments before using this estimator.
/srv/venv/lib/python3.12/site-packages/sklearn/utils/validation.py|check_consistent_length|raise ValueError(|ValueError: Found input variables with inconsistent numbers of samples: [100, 99]
/srv/venv/lib/python3.12/site-packages/flask/app.py|raise_routing_exception|raise request.routing_exception|werkzeug.exceptions.NotFound: 404 Not Found: The requested URL was not found on the server.
/srv/venv/lib/python3.12/site-packages/fastapi/routing.py|app|raise validation_error|fastapi.exceptions.RequestValidationError: [{'type': 'missing', 'loc': ('body', 'price'), 'msg': 'Field required'}]
/srv/venv/lib/python3.12/site-packages/pydantic/main.py|__init__|validated_self = self.__pydantic_validator__.validate_python(data, self_instance=self)|pydantic_core._pydantic_core.ValidationError: 1 validation error for Customer
/srv/venv/lib/python3.12/site-packages/requests/adapters.py|send|raise ConnectionError(e, request=request)|requests.exceptions.ConnectionError: HTTPConnectionPool(host='10.0.0.7', port=80): Max retries exceeded with url: /orders
/srv/venv/lib/python3.12/site-packages/sqlalchemy/engine/default.py|do_execute|cursor.execute(statement, parameters)|sqlalchemy.exc.IntegrityError: (sqlite3.IntegrityError) UNIQUE constraint failed: user.email
/srv/venv/lib/python3.12/site-packages/celery/app/trace.py|trace_task|R = retval = fun(*args, **kwargs)|celery.exceptions.MaxRetriesExceededError: Can't retry shop.tasks.send_invoice
/srv/venv/lib/python3.12/site-packages/PIL/Image.py|open|raise UnidentifiedImageError(msg)|PIL.UnidentifiedImageError: cannot identify image file '/srv/images/7.png'
/srv/vision/classify.py|main|loss = criterion(output, target)|ValueError: Expected input batch_size (32) to match target batch_size (16).
/srv/vision/classify.py|main|model = resnet50(weights=weights)|ValueError: The parameter 'num_classes' expected value 1000 but got 10 instead.
/srv/venv/lib/python3.12/site-packages/torchvision/datasets/folder.py|find_classes|raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")|FileNotFoundError: Couldn't find any class folder in /srv/images.
/srv/venv/lib/python3.12/site-packages/torchvision/datasets/cifar.py|__init__|raise RuntimeError("Dataset not found or corrupted. You can use download=True to download it")|RuntimeError: Dataset not found or corrupted. You can use download=True to download it
/srv/vision/classify.py|main|images, labels = images.to(device), labels.to(device)|AttributeError: 'list' object has no attribute 'to'
/srv/venv/lib/python3.12/site-packages/torchvision/transforms/functional.py|to_tensor|raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")|TypeError: pic should be PIL Image or ndarray. Got <class 'torch.Tensor'>
/srv/venv/lib/python3.12/site-packages/boto3/resources/action.py|__call__|response = getattr(parent.meta.client, operation_name)(*args, **params)|botocore.exceptions.ClientError: An error occurred (403) when calling the HeadObject operation: Forbidden
/srv/venv/lib/python3.12/site-packages/matplotlib/axes/_base.py|_plot_args|raise ValueError(f"x and y must have same first dimension, but "|ValueError: x and y must have same first dimension, but have shapes (10,) and (9,)
/srv/venv/lib/python3.12/site-packages/yaml/scanner.py|fetch_more_tokens|raise ScannerError("while scanning for the next token", None,|yaml.scanner.ScannerError: while scanning for the next token found character that cannot start any token
/srv/envs/vllm/lib/python3.12/site-packages/click/core.py|invoke|return __callback(*args, **kwargs)|TypeError: deploy() got an unexpected keyword argument 'region'
/srv/envs/transformers/lib/python3.12/site-packages/aiohttp/client.py|_request|raise InvalidURL(url)|aiohttp.client_exceptions.InvalidURL: htp://shop
/srv/train/models/booking.py|check|raise ValueError("the train is full")|ValueError: the train is full: no seat of the model is left
""".strip().splitlines()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error["source"].removeprefix("https://github.com/"))
def test_a_text_of_a_tracker(error: dict[str, str]) -> None:
    found = [one.code for one in diagnose_log(io.BytesIO(error["text"].encode())).findings]
    if error["source"] in MISSED:
        assert error["code"] not in found
    else:
        assert error["code"] in found if error["code"] else not found


@pytest.mark.parametrize("error", RECENT, ids=lambda error: error["source"].removeprefix("https://github.com/"))
def test_an_answer_that_blames_a_version_names_it(error: dict[str, str]) -> None:
    for one in diagnose_log(io.BytesIO(error["text"].encode())).findings:
        assert one.code not in VERSIONED or re.search(r"(?:\d+\.\d+|< \d)", " ".join((one.message, *one.fix)))


def test_the_collection_is_large_enough() -> None:
    assert len({error["text"] for error in ERRORS}) >= 60
    assert all(error["source"].startswith("https://github.com/") for error in ERRORS)
    assert len(UNRELATED) >= 82
    assert len(FOREIGN) >= 30


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


def test_all_unrelated_tracebacks_in_one_log_have_no_code() -> None:
    texts = []
    for line in UNRELATED:
        try:
            exec(compile(line, "train.py", "exec"), {})  # noqa: S102
        except Exception:  # noqa: BLE001
            texts.append(traceback.format_exc())
    texts += map(foreign, FOREIGN)
    assert diagnose_log(io.BytesIO("\n".join(texts).encode())).findings == ()
