"""What a script does around the libraries of this field: tables, splits, metrics, pictures and sounds. Pure.

scikit-learn, pandas and what counts or reads for a script say no to what the script gives them. That is its data in
nearly every case; what only a setting or a package causes has its own row.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.ending.raised_words import quote
from envpin.diagnose.logs.ending.table import row
from envpin.diagnose.logs.text.explained import Explained

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_NAMES = {
    "sklearn": "scikit-learn", "imblearn": "imbalanced-learn", "pandas": "pandas", "polars": "polars", "nltk": "nltk",
    "seqeval": "seqeval", "rouge_score": "rouge-score", "sacrebleu": "sacrebleu", "jiwer": "jiwer", "PIL": "Pillow",
    "soundfile": "soundfile", "soundfile.py": "soundfile", "librosa": "librosa", "torchaudio": "torchaudio",
    "torchvision": "torchvision", "spacy": "spacy", "torchmetrics": "torchmetrics", "bert_score": "bert-score",
    "rouge": "rouge", "scipy": "scipy",
}  # fmt: skip
# Below these in a traceback only numpy, Python and compiled code stand, which they call.
_CALLED = frozenset({"numpy", "pyarrow", "joblib"})
# Errors that refuse a value; others (AttributeError, TypeError, ImportError) are of releases as well.
_REFUSALS = frozenset({
    "ValueError", "EmptyDataError", "ParserError", "IntCastingNaNError", "LookupError", "UnidentifiedImageError",
    "LibsndfileError", "ZeroDivisionError", "OutOfBoundsDatetime", "ParameterError", "MergeError", "InvalidIndexError",
})  # fmt: skip
_COUNT = "count the rows after each step: print(len(rows)); a filter, an empty file or a wrong separator leaves none"
_LABELS = 'see which labels there are, and how many rows of each: print(table["label"].value_counts())'
_HEAD = "look at the file: head -n 3 FILE"
_D = "data-not-as-expected"


_UNREACHED = re.compile(r"Couldn't reach (?P<url>https?://[^\s'\"]{1,200})")


def not_reached(package: str, message: str) -> Explained | None:
    """What a library that reads data or metrics wanted from the net, and did not reach."""
    if (found := _UNREACHED.search(message)) is None:
        return None
    says = f"{package} fetches a part of the data set or metric from {found['url']}, and this machine did not reach it"
    return Explained(_D, says, (
        "where there is a network, load it once: later runs take it from the cache of Hugging Face",
        "or take data that lie here, and a metric that is installed (sacrebleu, rouge_score, scikit-learn)",
    ))  # fmt: skip


_ROWS = (
    row(r"With n_samples=(?P<n>\d+), ", _D,
         "the rows are to be split into a part to train on and one to test, and there are too few of them ({n})",
         _COUNT),
    row(r"Found array with 0 (?:sample|feature)|Found empty input array|at least one array or dtype is required|"
         r"empty vocabulary", _D,
         "{package} was given no rows, or none with anything in them", _COUNT),
    row(r"The least populated class(?:es)? in y ha(?:s|ve) only (?P<n>\d+) member|"
         r"n_splits=\d+ cannot be greater than the number of members|"
         r"(?:test|train)_size = \d+ should be greater or equal to the number of classes", _D,
         "a split that keeps the shares of the labels (`stratify`) needs more rows: a label has too few of them, or "
         "the "
         "part has fewer rows than there are labels", _LABELS, "leave `stratify` out, or drop the rare labels"),
    row(r"Cannot have number of splits n_splits=(?P<n>\d+) greater than the number of samples=(?P<m>\d+)", _D,
         "the data are to be split into more parts ({n}) than they have rows ({m})", _COUNT),
    row(r"y contains previously unseen labels: (?P<n>[^\n]{1,100})", _D,
         "the data have the labels {n}, which the encoder did not see when it was fitted",
         "fit it on the labels of all parts, or look whether these are spelt as the others are", _LABELS),
    row(r"inconsistent numbers of samples", _D,
         "the predictions and the labels (or the texts and the labels) are not of one length",
         "print both lengths; rows that were filtered out of one of them, or a last batch that was dropped, do this"),
    row(r"Number of classes, (?P<n>\d+), does not match size of target_names, (?P<m>\d+)", _D,
         "the classes in the labels and predictions ({n}) are not as many as the names given for them ({m}): the data "
         "tested on lack one, or hold another", "give the classes as well: classification_report(…, "
         "labels=range({m}))", _LABELS),
    row(r"Target is (?P<n>multiclass|multilabel-indicator) but average='binary'", "settings-refused",
         "the metric counts two classes (average='binary'), and the labels are {n}",
         "give it the average: average=\"macro\", or \"micro\", \"weighted\""),
    row(r"can't handle a mix of (?P<n>[\w-]+) and (?P<m>[\w-]+) targets", _D,
         "the labels are {n} and the predictions {m}: numbers of the model were given where classes are wanted, or "
         "text "
         "and numbers are mixed", "take the classes first: predictions.argmax(-1); print a few of both"),
    row(r"contains only one class|Only one class (?:is )?present", _D,
         "all rows have the same label, where at least two are needed", _LABELS),
    row(r"X has (?P<n>\d+) features, but (?P<name>\w+) is expecting (?P<m>\d+)", "inputs-do-not-fit",
         "the `{name}` was trained on {m} numbers a row and is given {n}: they come of another model, or of another "
         "length of embedding", "take the model whose embeddings it was trained on, or train it again"),
    row(r"Input (?:X |y )?contains (?:NaN|infinity)|Input y_\w+ contains NaN", _D,
         "the numbers or labels have gaps (NaN) or are infinite: rows without a value, or a model that gives no finite "
         "numbers", "table.dropna(); where they are predictions, see what the model gives"),
    row(r"No columns to parse from file", _D, "the table file is empty", "look at the file: wc FILE"),
    row(r"C error: Expected (?P<n>\d+) fields in line (?P<m>\d+), saw (?P<name>\d+)", _D,
         "line {m} of a CSV file has {name} fields, and those before it {n}: a comma in text without quotes, or "
         "another "
         "separator", "put text that holds commas into quotes, or name the separator: sep=\";\"",
         "see the line: sed -n {m}p FILE"),
    row(r"Trailing data|Expected object or value", _D,
         "the JSON file is not one list or object: it has one object a line, is empty or is cut off",
         "one object a line: pandas.read_json(FILE, lines=True)", _HEAD),
    row(r"Usecols do not match columns, columns expected but not found: (?P<n>[^\n]{1,100})", _D,
         "the table file has no columns {n}", _HEAD),
    row(r"invalid literal for int|could not convert string to float|Cannot convert non-finite values|"
         r"cannot convert float NaN", _D,
         "a column that is to hold numbers has text or gaps in it",
         "look at its values: table[COLUMN].unique(); map texts to numbers, drop the gaps"),
    row(r"Can only use \.str accessor", _D,
         "a column that is to hold text has none: numbers, or nothing at all", "table[COLUMN].astype(str), after "
         "dropna()"),
    row(r"Cannot take a larger sample than population", _D,
         "more rows are to be drawn than there are", _COUNT, "draw min(N, len(table)) of them"),
    row(r"out-of-bounds|index \d+ is out of bounds for axis|^index out of bounds$", _D,
         "the table has fewer rows than the script takes", _COUNT),
    row(r"No objects to concatenate", _D,
         "no table was read that could be put together: no file matched, or all were empty",
         "print the list of files that is read"),
    row(r"cannot identify image file (?P<n>[^\n]{1,200})", _D, "what was read as a picture is none: {n}",
         "look at the file: file PATH; a web page or an empty file is what a failed download leaves",
         "leave it out, or fetch it again"),
    row(r"Found no valid file for the class(?:es)? (?P<n>[^\n]{1,120}?)\. Supported extensions", _D,
         "the folders of the classes {n} hold no pictures (or none of a kind that is read)",
         "put pictures into each, or take the empty folder away; see: ls FOLDER/*"),
    row(r"Couldn't find any class folder in (?P<n>[^\n]{1,200}?)\.?$", _D,
         "`{n}` has no folders: the pictures are to lie in one folder for each class",
         "make them: {n}/CLASS/PICTURE.jpg, or give the folder above the classes"),
    row(r"'(?P<n>NoneType|float|int|list|dict)' object has no attribute '(?:lower|strip|split|rstrip|encode)'", _D,
         "{package} was given a `{n}` in place of a text: a row is empty (null, NaN), or of another kind",
         "find such rows: [i for i, t in enumerate(texts) if not isinstance(t, str)]",
         "leave them out of predictions and references alike, or make them text: t or \"\""),
    row(r"(?P<n>refs|hyps|references|predictions)`? should be a sequence of", _D,
         "{package} was given its texts in another form: {quote}",
         "predictions are a list of texts, references a list of lists: corpus_bleu(hyps, [refs])"),
    row(r"(?:references?|groundtruths?)(?: are| is) (?:an )?empty", _D,
         "a text that the metric compares with is empty", "leave such rows out: pairs = [(r, h) for r, h in … if "
         "r.strip()]"),
    row(r"Instead got (?P<n>\d+) (?:reference|ground)\w* and (?P<m>\d+) hypothes", _D,
         "there are {n} references and {m} predictions: rows were left out of one of them, or the last batch was",
         "print both lengths, and filter both by the same rows"),
    row(r"Excel file format cannot be determined|File is not a zip file", _D,
         "a file that is read as an Excel workbook is none: a CSV under that name, damaged, or a web page",
         "look at it: file FILE; of a CSV: pandas.read_csv(FILE)"),
    row(r"time data .(?P<n>[^\"'\n]{1,60}). (?:doesn't|does not) match format .(?P<m>[^\"'\n]{1,60})[\"']", _D,
         "a date of the data is written `{n}`, and the others as `{m}`, by which all are read",
         "name the form: pandas.to_datetime(column, format=…), dayfirst=True, or format=\"mixed\""),
    row(r"Audio buffer is not finite", _D, "a sound of the data holds NaN or infinite values",
         "find it: numpy.isfinite(y).all(); leave it out, or fetch it again"),
    row(r"Couldn't find appropriate backend", "package-missing",
         "torchaudio finds no library that reads this kind of sound, or the file is not there",
         "python -m pip install soundfile; of mp3 and m4a: install ffmpeg", "ls -l the file that the message names"),
    row(r"Missing column provided to 'parse_dates': (?P<n>[^\n]{1,100})", _D,
         "the table file has no column {n}, which is to be read as dates", _HEAD),
    row(r"image file is truncated|broken data stream|broken PNG|Truncated File Read", "truncated-file",
         "a picture of the data was cut off or is damaged", "find it: open each, and call .load(); fetch it again"),
    row(r"output with shape \[(?P<n>1, \d+, \d+)\] doesn't match the broadcast shape \[(?P<m>[34], \d+, \d+)\]",
         "inputs-do-not-fit", "a picture has one channel (grey: [{n}]), and three are normalized ([{m}])",
         "make it colours as it is read: Image.open(FILE).convert(\"RGB\")"),
    row(r"The size of tensor a \(4\) must match the size of tensor b \(3\)", "inputs-do-not-fit",
         "a picture has four channels (with transparency), and three are normalized",
         "make it colours as it is read: Image.open(FILE).convert(\"RGB\")"),
    row(r"Can't find model '(?P<n>[^'\n]{1,80})'\. It looks like you're trying to load a model from a shortcut",
         "library-api-changed", "spacy has no short names for its models from 3.0 on, as `{n}`: the code is of spacy 2",
         "write its full name, as en_core_web_sm for en, and fetch that: python -m spacy download en_core_web_sm"),
    row(r"Can't find model '(?P<n>[^'\n]{1,80})'", "package-missing",
         "spacy's model `{n}`, which is a package of its own, is not installed", "python -m spacy download {n}"),
    row(r"Missing optional dependency '(?P<n>[\w.-]+)'", "package-missing",
         "{package} needs `{n}` for this, and it is not installed", "python -m pip install {n}"),
    row(r"Unable to find a usable engine", "package-missing",
         "pandas reads parquet files by pyarrow, which is not installed or too old", "python -m pip install -U "
         "pyarrow"),
    row(r"parameter of [\w.]+ must be ", "settings-refused",
         "scikit-learn refuses an argument: {quote}", "give it a value that the message names"),
)  # fmt: skip
# The classifier of setfit lies in a file of its own.
_NOT_FITTED = re.compile(r"This (?P<name>\w+) instance is not fitted yet")
_NO_COLUMN = re.compile(r"'DataFrame' object has no attribute '(?P<name>\w{1,80})'")


def of_preparing(exception: str, message: str, frames: list[Frame]) -> Explained | None:
    """What a library that prepares or counts for a script refuses; None where another one stopped."""
    package = _package(frames)
    if package is None:
        return None
    if (unfitted := _NOT_FITTED.search(message)) is not None:
        return _not_fitted(unfitted["name"], any(one.library == "setfit" for one in frames))
    if (column := _NO_COLUMN.search(message)) is not None and not _was_of_tables(column["name"]):
        says = f"the table that the script reads has no column `{column['name']}`"
        return Explained(_D, says, (_HEAD, "or name it so: table.rename(columns={OLD: NEW})"))
    if (told := _of_a_row(package, message) or _of_a_way_to_split(exception, message, package, frames)) is not None:
        return told
    if exception not in _REFUSALS or not message:
        return None
    return Explained(_D, f"{package} refuses what the script gives it: {quote(message)}", (
        "print what is given: its type, its length and its first rows",
    ))  # fmt: skip


def _of_a_way_to_split(exception: str, message: str, package: str, frames: list[Frame]) -> Explained | None:
    if exception != "KeyError" or package != "sacrebleu" or frames[-1].function != "_get_tokenizer":
        return None
    says = f"{package} has no tokenizer {message}, which `tokenize` names"
    return Explained("settings-refused", says, ("give one that it has: 13a, intl, char, zh, ja-mecab, ko-mecab",))


def _of_a_row(package: str, message: str) -> Explained | None:
    for one in _ROWS:
        if (found := one.pattern.search(message)) is not None:
            words = {"package": package, "quote": quote(message), **found.groupdict()}
            return Explained(one.code, one.says.format(**words), tuple(step.format(**words) for step in one.fix))
    return None


def _was_of_tables(name: str) -> bool:
    """Whether tables had a method of that name in some release: then a release is to blame, not a column."""
    return name.startswith("_") or name in {
        "append", "iteritems", "mad", "lookup", "ix", "applymap", "swaplevel", "as_matrix", "get_value", "set_value",
        "to_panel", "from_csv", "map", "convert_objects", "select", "tshift", "slice_shift", "compare", "sort",
        "swapaxes",
        "pad", "backfill", "first", "last", "bool", "tolist", "unique", "str", "column_names", "features",
        "train_test_split", "remove_columns", "select_columns", "to_pandas", "num_rows", "shuffle",
    }  # fmt: skip


def _package(frames: list[Frame]) -> str | None:
    """The deepest library, where it is one of these."""
    for one in reversed(frames):
        if one.library is None and one.path.rpartition("/")[2] != "soundfile.py":
            if one.path.startswith("<") or "/python3" in one.path:
                continue
            return None
        library = one.library or "soundfile"
        if library not in _CALLED:
            return _NAMES.get(library)
    return None


def _not_fitted(name: str, of_setfit: bool) -> Explained:
    if of_setfit:
        says = (
            f"the head of the setfit model (`{name}`) was never trained: the folder has no model_head.pkl, so that "
            "one was "
            "begun from nothing, or the model was not trained before this"
        )
        copy = "copy model_head.pkl next to the other files, or train and save the model again: save_pretrained"
        return Explained("missing-shard", says, (copy,))
    says = f"the script uses a `{name}` of scikit-learn that was not fitted: a new one, and not one that was trained"
    return Explained("settings-refused", says, ("call fit first, or load the one that was saved: joblib.load(FILE)",))
