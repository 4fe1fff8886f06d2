"""Names and arguments that releases of the libraries around the stack took or gave: pandas, numpy, scikit-learn, scipy,
librosa, httpx, pydantic and the like. Pure.

Programs of every field meet these releases; so they are spoken of only where the log is of this field, by the frames of
its libraries or the path of its script. On 30 November 2026 each was looked up in the wheels of the release that is
named and of one before it; of librosa 0.8 its changelog was read. `Panel` is an empty class in pandas 0.25 to 1.1.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from envpin.core.command_text import command_text
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.field import is_named_after_it


class _Fact(NamedTuple):
    """`pattern` speaks of `what` of a package, which went with `release`, or came with it; `step` does without."""

    pattern: re.Pattern[str]
    package: str
    release: str
    what: str
    step: str
    went: bool = True


def _went(package: str, release: str, what: str, pattern: str, step: str = "") -> _Fact:
    return _Fact(re.compile(pattern), package, release, what, step)


def _came(package: str, release: str, what: str, pattern: str, step: str = "") -> _Fact:
    return _Fact(re.compile(pattern), package, release, what, step, went=False)


_UNEXPECTED = r"got an unexpected keyword argument"
_TABLE = r"'(?:DataFrame|Series|DataFrameGroupBy)' object has no attribute"
_NO_NAME = r"(?:module '[\w.]+' has no attribute|cannot import name)"
_FACTS = (
    _went("pandas", "2.0", "`{name}` of tables and columns",
          rf"{_TABLE} '(?P<name>append|iteritems|mad|tshift|slice_shift|lookup)'",
          "pd.concat for append, items() for iteritems"),
    _went("pandas", "3.0", "`{name}` of tables and columns",
          rf"{_TABLE} '(?P<name>applymap|swapaxes|pad|backfill|first|last|bool)'", "map() for applymap"),
    _went("pandas", "2.0", "`{name}` of `read_csv`", r"read_(?:csv|table)\(\) "
          rf"{_UNEXPECTED} '(?P<name>error_bad_lines|warn_bad_lines|mangle_dupe_cols|squeeze|prefix)'",
          "on_bad_lines for error_bad_lines"),
    _went("pandas", "3.0", "`{name}` of `read_csv`", r"read_(?:csv|table)\(\) "
          rf"{_UNEXPECTED} '(?P<name>delim_whitespace|date_parser|infer_datetime_format|keep_date_col)'",
          r'sep="\s+" for delim_whitespace'),
    _came("pandas", "1.3", "`{name}` of `read_csv`",
          rf"read_\w+\(\) {_UNEXPECTED} '(?P<name>on_bad_lines|encoding_errors)'"),
    _went("pandas", "2.0", "`{name}` of `to_csv`", rf"to_csv\(\) {_UNEXPECTED} '(?P<name>line_terminator)'",
          "it is `lineterminator` now"),
    _went("pandas", "3.0", "`{name}` of `fillna`", rf"fillna\(\) {_UNEXPECTED} '(?P<name>method)'",
          "ffill() or bfill()"),
    _went("pandas", "2.0", "`{name}`", rf"{_NO_NAME} '(?P<name>(?:Int64|UInt64|Float64)Index)'"),
    _went("pandas", "1.2", "`{name}`", rf"{_NO_NAME} '(?P<name>Panel)'", "update what asks for it: an old tqdm does"),
    _went("scikit-learn", "1.6", "`{name}` of `mean_squared_error`", rf"{_UNEXPECTED} '(?P<name>squared)'",
          "root_mean_squared_error"),
    _went("scikit-learn", "1.4", "`{name}` of `OneHotEncoder`",
          rf"OneHotEncoder\.__init__\(\) {_UNEXPECTED} '(?P<name>sparse)'", "it is `sparse_output` now"),
    _went("scikit-learn", "1.2", "`{name}`",
          r"'\w+(?:Vectorizer|Encoder|Transformer)' object has no attribute '(?P<name>get_feature_names)'",
          "it is `get_feature_names_out` now"),
    _went("scikit-learn", "1.8", "`{name}`", rf"{_UNEXPECTED} '(?P<name>force_all_finite)'",
          "it is `ensure_all_finite` from 1.6 on"),
    _came("scikit-learn", "1.6", "`{name}`", r"has no attribute '(?P<name>__sklearn_tags__)'",
          "update what defines the estimator (xgboost, lightgbm, …)"),
    _went("scikit-learn", "1.2", "`{name}`",
          rf"{_NO_NAME} '(?P<name>plot_confusion_matrix|plot_roc_curve)'", "ConfusionMatrixDisplay.from_predictions"),
    _went("scikit-learn", "0.23", "`{name}`", rf"{_NO_NAME} '(?P<name>jaccard_similarity_score)'", "jaccard_score"),
    _went("scipy", "1.13", "`scipy.signal.{name}`",
          r"module 'scipy\.signal' has no attribute '(?P<name>hann|hamming|blackman|gaussian|kaiser)'",
          "it is in scipy.signal.windows; a newer librosa does without"),
    _went("scipy", "1.13", "`scipy.linalg.{name}`",
          r"cannot import name '(?P<name>triu|tril)' from 'scipy\.linalg", "update gensim and the like"),
    _went("scipy", "1.14", "`scipy.integrate.{name}`",
          r"(?:'scipy\.integrate' has no attribute|cannot import name) '(?P<name>simps|cumtrapz)'",
          "simpson, cumulative_trapezoid"),
    _went("librosa", "0.10", "positional arguments of `{name}`",
          r"\b(?P<name>resample|mel|stft|istft|mfcc|melspectrogram|pitch_shift|time_stretch)\(\) takes [01] "
          r"positional arguments? but \d+ (?:positional arguments .{0,60})?were given",
          "give them by name: orig_sr=…, target_sr=…, sr=…"),
    _went("librosa", "0.8", "`librosa.{name}`",
          r"(?:module 'librosa' has no attribute '|No librosa attribute )(?P<name>output)", "soundfile.write"),
    _went("Pillow", "10.0", "`Image.{name}`", r"module 'PIL\.Image' has no attribute '(?P<name>ANTIALIAS)'",
          "Image.LANCZOS"),
    _went("Pillow", "10.0", "`{name}` of fonts", r"'\w*Font' object has no attribute '(?P<name>getsize)'", "getbbox"),
    _went("moviepy", "2.0", "`{name}`", r"No module named '(?P<name>moviepy\.editor)'",
          "from moviepy import VideoFileClip"),
    _went("torchvision", "0.17", "`{name}`", r"No module named '(?P<name>torchvision\.transforms\.functional_tensor)'",
          "torchvision.transforms.functional has its functions; basicsr needs its newest code"),
    _went("torchaudio", "2.9", "`torchaudio.{name}`",
          r"'torchaudio' has no attribute '(?P<name>(?:get|set|list)_audio_backends?|info)'",
          "soundfile reads and writes files; newer speechbrain does without"),
    _went("httpx", "0.28", "`{name}` of its clients", rf"Client\.__init__\(\) {_UNEXPECTED} '(?P<name>proxies)'",
          "a newer openai, anthropic or gradio_client, which does without"),
    _went("starlette", "1.0", "`{name}`", rf"(?:Router|Starlette)\.__init__\(\) {_UNEXPECTED} "
          r"'(?P<name>on_startup|on_shutdown)'", "a newer fastapi; in code of your own: lifespan=…"),
    _went("langchain", "1.0", "`{name}`", r"No module named '(?P<name>langchain\.(?:embeddings\.\w+|llms|vectorstores|"
          r"document_loaders|chat_models\.\w+|prompts|memory|schema|text_splitter))'", "from langchain_community (its "
          "loaders, stores, models), langchain_text_splitters or langchain_classic"),
    _went("FlagEmbedding", "1.3", "the module `{name}`",
          r"No module named '(?P<name>FlagEmbedding\.(?:baai_general_embedding|reranker|llm_reranker|BGE_M3|visual)\b"
          r"[\w.]*)", "its trainers are FlagEmbedding.finetune.embedder and .finetune.reranker now"),
    _came("FlagEmbedding", "1.3", "the module `{name}`",
          r"No module named '(?P<name>FlagEmbedding\.(?:finetune|inference|abc|evaluation)\b[\w.]*)"),
    _went("ms-swift", "4.0", "the module `{name}`", r"No module named '(?P<name>swift\.llm\b[\w.]*)'",
          "where a package `swift` of another project is installed, it hides this one: python -m pip uninstall swift"),
    _went("huggingface_hub", "0.31", "`{name}` of its client",
          r"'(?:Async)?InferenceClient' object has no attribute '(?P<name>post)'",
          "client.chat_completion(…), feature_extraction(…), …; a newer langchain-huggingface does without"),
    _went("urllib3", "2.0", "`{name}`", r"cannot import name '(?P<name>DEFAULT_CIPHERS)' from 'urllib3"),
    _went("openai", "1.0", "`openai.{name}`",
          r"You tried to access openai\.(?P<name>[\w.]+), but this is no longer supported", "client = openai.OpenAI()"),
    _went("gradio", "4.0", "`{name}` of its components",
          r"'(?:Textbox|Chatbot|Button|Dropdown|Image|Row|Slider)' object has no attribute '(?P<name>style)'",
          "give what it set to the constructor"),
    _went("gradio", "6.0", "`{name}` of its chats",
          rf"Chat(?:bot|Interface)\.__init__\(\) {_UNEXPECTED} '(?P<name>type)'",
          "leave it out: messages are all it takes"),
    _came("pydantic", "2.0", "`{name}` of models",
          r"\w' (?:object )?has no attribute '(?P<name>model_(?:(?:dump|validate)(?:_json)?|json_schema|fields))'",
          "where the class is no model of pydantic, look at what it is"),
    _went("pydantic", "2.0", "`{name}` in pydantic itself", r"`(?P<name>BaseSettings)` has been moved",
          "from pydantic_settings import BaseSettings"),
    _went("pydantic", "2.0", "`{name}` of fields", r"`(?P<name>regex|const)` is removed", "`pattern` for regex"),
    _went("datasets", "4.0", 'a list as what dataset["name"] gives', r"'Column' object (?:does not support item "
          r"assignment|has no attribute)|unsupported operand .{1,20}'Column'|\(not \"Column\"\) to|not 'Column'|"
          r", not Column\b|got 'Column'", 'take list(dataset["name"]), or dataset[:]["name"]'),
    _went("torchmetrics", "0.11", "`{name}` without `task`",
          r"\b(?P<name>\w+)(?:\.__new__)?\(\) missing 1 required positional argument: 'task'",
          'give task="multiclass" and num_classes=…, or task="binary"'),
    _went("trl", "0.12", "the `{name}` that needs no `output_dir`, as its trainer that steps through batches,",
          r"\b(?P<name>PPOConfig)\.__init__\(\) missing 1 required positional argument: 'output_dir'"),
    _went("protobuf", "7.0", "`{name}` of fields", r"FieldDescriptor' object has no attribute '(?P<name>label)'",
          "update what asks for it"),
)  # fmt: skip


def explain_companion(line: str, before: str) -> Explained | None:
    """What is known of the release of a library around the stack; it counts in this field alone."""
    for fact in _FACTS:
        if (found := fact.pattern.search(line)) is not None:
            told = _explained(fact, found.groupdict().get("name") or "")
            return told._replace(in_field=not _of_this_field(before))
    return None


def _explained(fact: _Fact, name: str) -> Explained:
    what, package, release = fact.what.format(name=name), fact.package, fact.release
    says = f"{what} came with {package} {release}: this {package} is older"
    if fact.went:
        says = f"{what} went with {package} {release}: the code is of an older {package}"
    install = command_text("python", "-m", "pip", "install", f"{package}{'<' if fact.went else '>='}{release}")
    return Explained("library-api-changed", says, (install, *((fact.step,) if fact.step else ()), TRAINING))


def _of_this_field(before: str) -> bool:
    from envpin.diagnose.logs.text.frames import frames_of, of_the_stack

    frames = frames_of(before)
    return bool(of_the_stack(frames)) or any(one.library is None and is_named_after_it(one.path) for one in frames)
