"""Libraries around the stack: which release took a name away, and of what two packages of two times are said."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.context.missing_names import explain_missing_name
from tests.support.logs import SCRIPT, SITE, answer

ELSEWHERE = SCRIPT.replace("work/train_lora", "shop/app")


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("AttributeError: 'Series' object has no attribute 'iteritems'. Did you mean: 'items'?", "pandas<2.0"),
        ("TypeError: read_csv() got an unexpected keyword argument 'error_bad_lines'", "pandas<2.0"),
        ("TypeError: read_csv() got an unexpected keyword argument 'on_bad_lines'", "pandas>=1.3"),
        ("AttributeError: 'DataFrame' object has no attribute 'applymap'. Did you mean: 'map'?", "pandas<3.0"),
        ("TypeError: got an unexpected keyword argument 'squared'", "scikit-learn<1.6"),
        ("TypeError: OneHotEncoder.__init__() got an unexpected keyword argument 'sparse'", "scikit-learn<1.4"),
        ("TypeError: resample() takes 1 positional argument but 3 were given", "librosa<0.10"),
        ("TypeError: mel() takes 0 positional arguments but 3 were given", "librosa<0.10"),
        ("ModuleNotFoundError: No module named 'torchvision.transforms.functional_tensor'", "torchvision<0.17"),
        ("ImportError: cannot import name 'Panel' from 'pandas' (/x/pandas/__init__.py)", "pandas<1.2"),
        ("AttributeError: module 'PIL.Image' has no attribute 'ANTIALIAS'", "Pillow<10.0"),
        ("AttributeError: 'Settings' object has no attribute 'model_dump'", "pydantic>=2.0"),
        ("AttributeError: type object 'Settings' has no attribute 'model_validate'", "pydantic>=2.0"),
        ("TypeError: Client.__init__() got an unexpected keyword argument 'proxies'", "httpx<0.28"),
        ("TypeError: unsupported operand type(s) for +: 'Column' and 'Column'", "datasets<4.0"),
        ("TypeError: Router.__init__() got an unexpected keyword argument 'on_startup'", "starlette<1.0"),
        ("TypeError: Accuracy.__new__() missing 1 required positional argument: 'task'", "torchmetrics<0.11"),
        ("AttributeError: 'google._upb._message.FieldDescriptor' object has no attribute 'label'", "protobuf<7.0"),
    ],
)  # fmt: skip
def test_the_release_that_took_or_gave_a_name_is_named(line: str, release: str) -> None:
    codes, text = answer(f"{SCRIPT}{line}\n")
    assert codes == ["library-api-changed"]
    assert release in text
    assert answer(f"{ELSEWHERE}{line}\n")[0] == []
    assert answer(f"Loading checkpoint shards: 100%\n{ELSEWHERE}{line}\n")[0] == codes


@pytest.mark.parametrize(
    ("folder", "line", "said"),
    [
        ("gensim", f"ImportError: cannot import name 'tril' from 'scipy.special' ({SITE}/scipy/special.py)",
         "gensim looks for `tril` in scipy"),
        ("sklearn", "ImportError: cannot import name '_lazywhere' from 'scipy._lib._util'",
         "scikit-learn looks for `_lazywhere` in scipy"),
        ("librosa", "AttributeError: module 'scipy.signal' has no attribute 'no_such'", "librosa looks for `no_such`"),
    ],
)  # fmt: skip
def test_two_packages_of_two_times_are_both_named(folder: str, line: str, said: str) -> None:
    codes, text = answer(f'{SCRIPT}  File "{SITE}/{folder}/base.py", line 3, in f\n    g()\n{line}\n')
    assert codes == ["library-api-changed"]
    assert said in text


@pytest.mark.parametrize(
    "line",
    [
        "ImportError: cannot import name 'f' from 'app.models' (/srv/shop/app/models.py)",
        "ImportError: cannot import name 'f' from partially initialized module 'scipy' (most likely due to a circular)",
        "ImportError: cannot import name 'X' from 'C:\\\\ComfyUI\\\\custom_nodes\\\\x.llava' (C:\\x\\y.py)",
    ],
)
def test_a_script_that_misses_a_name_speaks_of_no_two_packages(line: str) -> None:
    assert explain_missing_name(line, ELSEWHERE) is None


def test_a_package_that_misses_its_own_name_speaks_of_no_two_packages() -> None:
    frame = f'  File "{SITE}/scipy/base.py", line 3, in f\n    g()\n'
    assert explain_missing_name("ImportError: cannot import name 'x' from 'scipy.linalg'", ELSEWHERE + frame) is None


def test_a_lazy_import_names_the_package_that_failed() -> None:
    log = (
        f'{SCRIPT}  File "{SITE}/diffusers/utils/import_utils.py", line 8, in _get_module\n    raise RuntimeError(\n'
        "RuntimeError: Failed to import diffusers.pipelines.x because of the following error (look up to see its "
        "traceback):\ncannot import name 'FLAX_WEIGHTS_NAME' from 'transformers.utils' (/x/transformers/utils.py)\n"
    )
    assert "diffusers" in answer(log)[1]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("int", "1.24"), ("product", "2.0"), ("in1d", "2.4"), ("trapezoid", "numpy 2.0 and newer"),
        ("concat", "numpy 2.0 and newer"), ("msort", "which numpy 2.0 took away"), ("cumulative_sum", "2.1 and newer"),
    ],
)  # fmt: skip
def test_a_name_of_numpy_is_no_matter_of_binaries(name: str, says: str) -> None:
    codes, text = answer(f"{SCRIPT}AttributeError: module 'numpy' has no attribute '{name}'\n")
    assert codes == ["library-api-changed"]
    assert says in text


def test_an_argument_that_a_library_gives_names_it() -> None:
    log = (
        f'{SCRIPT}  File "{SITE}/trl/trainer/dpo_trainer.py", line 3, in __init__\n    super().__init__(\n'
        "TypeError: Trainer.__init__() got an unexpected keyword argument 'processing_class'\n"
    )
    text = answer(log)[1]
    assert "trl gives it" in text
    assert "or an older trl" in text


def test_a_call_by_a_short_name_is_of_the_library_behind_it() -> None:
    log = (
        f'{SCRIPT}  File "{SITE}/datasets/table.py", line 3, in concat\n'
        '    return pa.concat_tables(tables, promote_options="default")\n'
        "TypeError: concat_tables() got an unexpected keyword argument 'promote_options'\n"
    )
    codes, text = answer(log)
    assert codes == ["library-api-changed"]
    assert "datasets calls `pyarrow.concat_tables()`" in text


def test_what_a_tokenizer_refuses_is_no_matter_of_releases() -> None:
    frame = (
        f'  File "{SITE}/transformers/tokenization_utils_fast.py", line 3, in _decode\n    self._tokenizer.decode(x)\n'
    )
    codes, _ = answer(f"{SCRIPT}{frame}TypeError: argument 'ids': Can't extract `str` to `Vec`\n")
    assert codes == ["inputs-do-not-fit"]


def test_accelerate_gave_up_its_logging_dir() -> None:
    line = "TypeError: Accelerator.__init__() got an unexpected keyword argument 'logging_dir'"
    assert "accelerate < 0.20" in answer(f"{SCRIPT}{line}\n")[1]
