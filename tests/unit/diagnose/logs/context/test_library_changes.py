"""Libraries around the stack by collected facts: which releases have a name, and whose code asks for it."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.facts.around import argument_changes, home_of, member_changes, module_change, name_change
from envpin.diagnose.logs.facts.index_names import on_the_index
from tests.support.logs import SCRIPT, SITE, answer

CHAT = SCRIPT.replace("train_lora", "chat")


def called(code: str, error: str) -> str:
    return f'{SCRIPT}  File "/srv/work/train_lora.py", line 4, in main\n    {code}\n{error}\n'


@pytest.mark.parametrize(
    ("code", "error", "has", "lacks"),
    [
        ("gr.ChatInterface(f, type='messages')",
         "TypeError: ChatInterface.__init__() got an unexpected keyword argument 'type'", "gradio<6.0", "6.0"),
        ("pl.Trainer(gpus=1)", "TypeError: Trainer.__init__() got an unexpected keyword argument 'gpus'",
         "pytorch-lightning==1.9.5", "2.0"),
        ("from jiwer import compute_measures",
         f"ImportError: cannot import name 'compute_measures' from 'jiwer' ({SITE}/jiwer/__init__.py)", "jiwer==3.1.0",
         "4.0.0"),
        ("from langchain.chains import RetrievalQA", "ModuleNotFoundError: No module named 'langchain.chains'",
         "langchain==0.3", "1.0"),
        ("BaggingClassifier(base_estimator=m)",
         "TypeError: BaggingClassifier.__init__() got an unexpected keyword argument 'base_estimator'",
         "scikit-learn==1.3.2", "1."),
        ("from scipy.stats import binom_test",
         f"ImportError: cannot import name 'binom_test' from 'scipy.stats' ({SITE}/scipy/stats/__init__.py)",
         "scipy==1.11.4", "1.1"),
        ("st.experimental_rerun()", "AttributeError: module 'streamlit' has no attribute 'experimental_rerun'",
         "streamlit==", "1."),
        ("from torchmetrics import F1",
         "ImportError: cannot import name 'F1' from 'torchmetrics' (/v/__init__.py)", "torchmetrics==", "F1Score"),
        ("scheduler = optim.lr_scheduler.ReduceLROnPlateau(",
         "TypeError: ReduceLROnPlateau.__init__() got an unexpected keyword argument 'verbose'", "torch==2.6.0",
         "leave it out"),
        ("self.norm = nn.RMSNorm(dim)", "AttributeError: module 'torch.nn' has no attribute 'RMSNorm'",
         "torch>=2.4.1", "2.3.1"),
        ("from onnxruntime.transformers.onnx_model_bert import BertOptimizationOptions",
         ("ImportError: cannot import name 'BertOptimizationOptions' from 'onnxruntime.transformers.onnx_model_bert' "
         "(/v/onnx_model_bert.py)"), "onnxruntime==1.14.1", "1.16.3"),
        ("from flask import Flask, escape",
         f"ImportError: cannot import name 'escape' from 'flask' ({SITE}/flask/__init__.py)", "flask==2.2.5", "2.3.3"),
        ("w, h = draw.textsize(label)", "AttributeError: 'ImageDraw' object has no attribute 'textsize'",
         "pillow==9.5.0", "10.0.1"),
        ("from setfit import Trainer",
         "ImportError: cannot import name 'TrainingArguments' from 'setfit' (/v/__init__.py)", "setfit>=1.0", "0.7"),
        ("from moviepy.editor import VideoFileClip", "ModuleNotFoundError: No module named 'moviepy.editor'",
         "moviepy<2.0", "from moviepy import"),
    ],
)  # fmt: skip
def test_both_releases_around_a_change_are_named(code: str, error: str, has: str, lacks: str) -> None:
    codes, text = answer(called(code, error))
    assert codes == ["library-api-changed"]
    assert has in text
    assert lacks in text


def test_a_library_that_asks_is_named_with_what_it_asks() -> None:
    frame = f'  File "{SITE}/bokeh/core/templates.py", line 30, in <module>\n    from jinja2 import Markup\n'
    error = f"ImportError: cannot import name 'Markup' from 'jinja2' ({SITE}/jinja2/__init__.py)\n"
    codes, text = answer(SCRIPT + frame + error)
    assert codes == ["library-api-changed"]
    assert "bokeh asks jinja2 for `Markup`" in text
    assert "jinja2==3.0.3" in text


def test_a_constructor_of_another_library_is_of_the_one_whose_name_it_is() -> None:
    frame = f'  File "{SITE}/flask/globals.py", line 25, in <module>\n    app_ctx = LocalProxy(\n'
    error = "TypeError: LocalProxy.__init__() got an unexpected keyword argument 'unbound_message'\n"
    codes, text = answer(SCRIPT + frame + error)
    assert codes == ["library-api-changed"]
    assert "flask asks werkzeug for `unbound_message`" in text
    assert "werkzeug>=2.2.3" in text


def test_an_argument_that_went_is_looked_for_in_no_other_module() -> None:
    error = "TypeError: StepLR.__init__() got an unexpected keyword argument 'verbose'"
    assert "from where it is now" not in answer(called("optim.lr_scheduler.StepLR(o, verbose=True)", error))[1]


def test_a_name_that_anyone_gives_needs_its_package_in_the_lines() -> None:
    error = "TypeError: Trainer.__init__() got an unexpected keyword argument 'gpus'"
    assert "pytorch-lightning" in answer(called("pl.Trainer(gpus=1)", error))[1]
    assert "pytorch-lightning" not in answer(called("Trainer(gpus=1)", error))[1]


def test_general_packages_are_spoken_of_only_in_this_field() -> None:
    error = "ImportError: cannot import name 'binom_test' from 'scipy.stats' (/x/scipy/stats/__init__.py)\n"
    shop = SCRIPT.replace("work/train_lora", "shop/app")
    assert answer(shop + error)[0] == []
    assert answer(f"Loading checkpoint shards: 100%\n{shop}{error}")[0] == ["library-api-changed"]


def test_of_a_module_the_name_that_is_wanted_is_found_where_it_is_now() -> None:
    log = called("from langchain.text_splitter import RecursiveCharacterTextSplitter",
                 "ModuleNotFoundError: No module named 'langchain.text_splitter'")  # fmt: skip
    assert "`langchain_text_splitters`, which langchain-text-splitters brings" in answer(log)[1]


def test_facts_keep_first_and_last_release() -> None:
    change = name_change("gradio", "Box")
    assert change is not None
    assert change.went
    assert (change.last, change.after) == ("3.50.2", "4.0.2")
    assert module_change("openai.error") is not None
    assert module_change("openai.no_such") is None
    assert name_change("numpy.no_such", "x") is None
    assert [one.package for one in member_changes("Textbox", "style")] == ["gradio"]
    assert [one.package for one in argument_changes("ChatInterface.__init__", "retry_btn")] == ["gradio"]
    assert home_of("langchain", "langchain.chains.llm") == "langchain_classic.chains.llm"


@pytest.mark.parametrize(
    ("module", "package"),
    [("adopt", "torch-adopt"), ("sklearn", "scikit-learn"), ("numpy", "numpy"), ("google", "protobuf"),
     ("google.generativeai", "google-generativeai"), ("llama_index.llms.huggingface", "llama-index-llms-huggingface"),
     ("clip", "git+https://github.com/openai/CLIP.git"), ("skimage.io", "scikit-image")],
)  # fmt: skip
def test_modules_are_called_as_the_index_calls_their_packages(module: str, package: str) -> None:
    assert on_the_index(module) == package


@pytest.mark.parametrize(
    ("module", "code", "said"),
    [
        ("llama_index.llms.huggingface", "package-missing", "pip install llama-index-llms-huggingface"),
        ("clip", "package-missing", "git+https://github.com/openai/CLIP.git"),
        ("pkg_resources", "library-api-changed", "setuptools<82"),
        ("rouge.no_such", "package-missing", "has no module `rouge.no_such`"),
    ],
)
def test_a_module_that_is_not_there_is_told_from_one_whose_package_is(module: str, code: str, said: str) -> None:
    codes, text = answer(called(f"import {module}", f"ModuleNotFoundError: No module named '{module}'"))
    assert codes == [code]
    assert said in text
