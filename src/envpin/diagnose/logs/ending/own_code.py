"""Files that are not there or are not what they are read as, and what a script does by itself. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.context.cells import explain_cell
from envpin.diagnose.logs.context.lost_files import (
    GIVE_ITS_PATH,
    NO_WHOLE_MODEL,
    Lost,
    asserted_to_exist,
    lost_by_script,
)
from envpin.diagnose.logs.ending.own_checks import of_what_it_meant
from envpin.diagnose.logs.ending.own_files import of_own_file
from envpin.diagnose.logs.ending.own_numbers import of_a_number
from envpin.diagnose.logs.ending.own_values import of_own_value
from envpin.diagnose.logs.ending.preparing import of_preparing
from envpin.diagnose.logs.ending.scripts import OTHER_LETTERS, letters_of, of_script
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.field import is_named_after_it, is_surely_named_after_it
from envpin.diagnose.logs.text.frames import frames_of, is_own

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_NO_DATA = re.compile(
    r"'([^'\n]{0,300}\.(?:jsonl|csv|tsv|parquet|arrow)|[^'\n]{0,300}(?:data|train|val|test)\w*\.json)'"
)
_NO_CHECKPOINT = re.compile(r"'([^'\n]{0,300}\.(?:pth?|ckpt))'")
_ANY_FILE = re.compile(r"No such file or directory: '([^'\n]{1,300})'")
_WIDTHS = re.compile(r"mat1 and mat2 shapes cannot be multiplied \(\d+x(?P<given>\d+) and (?P<taken>\d+)x\d+\)")
# Files that end too early, or are of another kind.
CUT_OFF = frozenset({"JSONDecodeError", "UnicodeDecodeError"})
_AT = re.compile(r": line (?P<line>\d+) column (?P<column>\d+) \(char \d+\)")
_BROKEN = (
    ("Unterminated string", "it was cut off, or a text in it has no end"),
    ("Expecting ',' delimiter", "a comma or a quote is missing right before, or it was cut off or edited by hand"),
    ("Expecting property name", "a comma too many before a brace, a comment, or names in single quotes or none"),
    ("Expecting ':' delimiter", "a colon is missing there, or a quote before"),
    ("Illegal trailing comma", "a comma too many before a brace or bracket"),
    ("Invalid \\", "a backslash stands alone there, as in paths of Windows: write two, or a slash"),
    ("Invalid control character", "a line break or tab stands inside a text"),
    ("Expecting value", "it was cut off, or a comma too many, a comment, or Python's None or True stands there"),
)  # fmt: skip
_LOOK_AT_ITS_END = ("look at its end: tail -c 200 FILE", "copy or download it again")
_MODEL_JSON = re.compile(r"adapter_\w*config|tokenizer|\.index\.json|(?i:lora)|generation_config")
_OF_DATA = re.compile(
    r"(?i)(?<![a-z])(?:data|dataset|train\w*|eval|test|valid|corpus|samples?|examples?|rows?|records?|prompts?|questions?|"
    r"annotations?|dialog\w*|conversations?|instances|captions|coco|squad|alpaca)(?:_\w+)?\b(?!\w*\.py)"
)
# What a script reads for itself; `config` may be that of a model.
_SETTINGS_READ = re.compile(
    r"(?i)\b(?:\w*cfg|conf|\w*settings|h?params|hyper_?\w*|(?:exp\w*|train\w*|run|script)_config|\w*args)\s*(?::\s*\w+\s*)?="
    r"\s*json\.loads?\(|json\.loads?\([^\n]{0,60}\bargs\.(?:config|cfg|settings)"
)
_READS_A_FILE = re.compile(r"\bopen\(|\.json|json\.load\(")
# Of a path, or of what a script calls it, what it leads to.
_KINDS = (
    ("settings-refused", re.compile(r"\.(?:ya?ml|toml|ini|cfg)$")),
    ("adapter-not-found", re.compile(r"(?i)lora|adapter|peft")),
    ("data-not-as-expected", re.compile(r"(?i)data|train_file|corpus|json|csv")),
    ("base-not-found", re.compile(r"(?i)model|base|ckpt|checkpoint|weights|outputs?(?:/|$)|\b(?:sft|dpo|runs)\b")),
)
# A place in a file's name that a loop counts.
_COUNTED = re.compile(r"open\(f[\"'][^\n\"']*\{(?:i|j|k|n|idx|index|part|shard|rank|num)\}")
# What lists the parts of a model that is stored in more than one file.
_OF_AN_INDEX = re.compile(r"(?i)(?:weight|model|tensor|bin|shard)_?(?:map|index)|index_?(?:json|file|path)")
_NO_INDEX = (
    "the script reads only weights in parts, and asserts that their index (model.safetensors.index.json or "
    "pytorch_model.bin.index.json) is there, and it is not: the weights are one file, or of the other format"
)
_AS_PARTS = (
    'save it in parts: model.save_pretrained(OUT, max_shard_size="500MB")',
    "of .bin files: safe_serialization=False (transformers < 5); see what is there: ls FOLDER",
)  # fmt: skip
# What pandas 3 refuses; names that releases of it took are in `companions.py`.
_AXIS_TWICE = re.compile(r"Cannot specify both 'axis' and 'index'/")


def kind_of_path(words: str) -> str | None:
    """The code of what is missing, by a path or by what an option for it is called."""
    return next((code for code, kind in _KINDS if kind.search(words.replace("-", "_").lower()) is not None), None)


def is_of_a_model(frames: list[Frame], *, in_field: bool) -> bool:
    """Whether a script of this field stands among the frames."""
    own = [one.path for one in frames if is_own(one)]
    return bool(own) and (in_field or any(is_named_after_it(path) for path in own))


def is_of_it(frames: list[Frame], *, in_field: bool) -> bool:
    """Whether a script among the frames is of this field alone: its name says more than that it trains something."""
    own = [one.path for one in frames if is_own(one)]
    return bool(own) and (in_field or any(is_surely_named_after_it(path) for path in own))


def of_own_code(
    exception: str, message: str, before: str, frames: list[Frame], *, in_field: bool = False
) -> Explained | None:
    """A file that a script of this field reads by itself: JSON that is none, a checkpoint that is not there, or a table
    without a column."""
    of_a_model = is_of_a_model(frames, in_field=in_field)
    told = of_what_it_meant(exception, before) if is_of_it(frames, in_field=in_field) else None
    told = told or (of_script(exception, message, before) if of_a_model else None)
    reads = told is None and exception in CUT_OFF and _READS_A_FILE.search(before) is not None
    if reads and (of_a_model or _MODEL_JSON.search(before) is not None):
        told = no_json("a file that the script reads as JSON", message)
        if _SETTINGS_READ.search("\n".join(_own_lines(before))) is not None:
            says, fix = told.says.replace("a file", "the file of settings", 1), told.fix[:-1]
            return Explained("settings-refused", says, fix)
        return told._replace(code="data-not-as-expected") if _reads_data(before) else told
    told = told or (_of_a_script(exception, message, before, frames) if of_a_model else None)
    if told is None and is_of_it(frames, in_field=in_field):
        told = of_own_file(exception, message, before)
    if told is None and (lost := lost_by_script(exception, message, before)) is not None:
        return lost.explained()
    if told is None and exception == "FileNotFoundError" and is_own(frames[-1]) and ".jsonl'" in message:
        return _not_there(message, before)  # such files are of this field, whatever the script is called
    any_file = exception == "FileNotFoundError" and is_of_it(frames, in_field=in_field)
    return told or (_any_file(message) if any_file else None)


def _reads_data(before: str) -> bool:
    """Whether the deepest function of a script, or its line of code, speaks of data, and of no file of a model."""
    for part in reversed(before.split('File "')[1:]):
        frames = frames_of(f'File "{part}')
        if frames and is_own(frames[0]):
            code = part.rpartition("\n")[0].partition(", in ")[2]
            return _OF_DATA.search(code) is not None and _MODEL_JSON.search(code) is None
    return False


def _own_lines(before: str) -> list[str]:
    """The lines below the deepest frame that is a script's."""
    for part in reversed(before.split('File "')[1:]):
        frames = frames_of(f'File "{part}')
        if frames and is_own(frames[0]):
            return part.split("\n")[1:3]
    return []


def _of_a_script(exception: str, message: str, before: str, frames: list[Frame]) -> Explained | None:
    if exception == "FileNotFoundError":
        return of_preparing(exception, message, frames) or _not_there(message, before)
    if exception == "AssertionError":
        return _of_a_check(message, before)
    table = _of_a_table(exception, message) if frames[-1].library == "pandas" else None
    told = table or of_preparing(exception, message, frames)
    told = told or explain_cell(f"{exception}: {message}", before) or _of_a_width(message, frames)
    return told or (of_own_value(exception, message, before) if is_own(frames[-1]) else None)


def _of_a_width(message: str, frames: list[Frame]) -> Explained | None:
    """A layer of the script's own, which takes what another model gives."""
    found = _WIDTHS.search(message) if frames[-1].library == "torch" else None
    if found is None or found["given"] == found["taken"]:
        return None
    says = (
        f"a layer of the script takes {found['taken']} numbers of each row, and is given {found['given']}: it was "
        "written for a model of another width (hidden_size), or for another length or size of inputs"
    )
    return Explained("inputs-do-not-fit", says, (
        "take the width from the model: torch.nn.Linear(model.config.hidden_size, …), or the model it was written for",
    ))  # fmt: skip


def _not_there(message: str, before: str = "") -> Explained | None:
    if (lost := _NO_DATA.search(message)) is not None:
        if (numbered := _of_a_number(lost[1], before)) is not None:
            return numbered
        return Explained("data-not-as-expected", f"the data file `{lost[1]}` is not there", (GIVE_ITS_PATH,))
    if (lost := _NO_CHECKPOINT.search(message)) is not None:
        says = f"the script loads `{lost[1]}`, and there is no such file"
        return Explained("base-not-found", says, (
            "look where training wrote it, and how its name is made",
            "a path without a leading / counts from the folder in which the command runs",
        ))  # fmt: skip
    return None


def _of_a_number(path: str, before: str) -> Explained | None:
    """One of the numbered parts that a script counts through."""
    counted = _COUNTED.search("\n".join(before.split("\n")[-4:]))
    number = re.findall(r"\d+", path.replace("\\", "/").rpartition("/")[2])
    if counted is None or not number:
        return None
    says = f"the script counts through numbered files of data, and `{path}` is not there: they end before it"
    return Explained("data-not-as-expected", says, (
        f"where those before {number[-1]} are all: give the script their number (its option for it), not its default",
        "else make the missing parts first",
    ))  # fmt: skip


def _any_file(message: str) -> Explained | None:
    """A file of any name that the script opens; its path tells what it is, if anything does."""
    found = _ANY_FILE.search(message)
    if found is None:
        return None
    code = next((code for code, kind in _KINDS if kind.search(found[1])), "data-not-as-expected")
    says = f"the script opens `{found[1]}`, and there is no such file or folder"
    return Explained(code, says, (GIVE_ITS_PATH,))


def _of_a_check(message: str, before: str) -> Explained | None:
    """A path that a script looks for itself."""
    name = asserted_to_exist(before) or ""
    if _OF_AN_INDEX.search(name) is not None:
        return Explained("serving-limit", f"{_NO_INDEX} (`{name}`)", _AS_PARTS)
    code = next((code for code, kind in _KINDS if kind.search(name)), None)
    lost = lost_by_script("AssertionError", message, before) if code is None else Lost(code, None, f"`{name}`")
    return None if lost is None else lost.explained()


def _of_a_table(exception: str, message: str) -> Explained | None:
    if _AXIS_TWICE.search(message) is not None:
        says = (
            "the script gives pandas an `axis` next to `index` or `columns`, which pandas 2 let pass and pandas 3 "
            "refuses"
        )
        older = "run with pandas < 3, as training did: envpin run ADAPTER -- CMD"
        return Explained("library-api-changed", says, (older, "or write it as the message asks"))
    if exception in {"IntCastingNaNError", "ValueError"} and (number := of_a_number(message, "")) is not None:
        return number
    if exception == "KeyError" and message.strip().isdigit():
        says = f"the script asks a column for row {message.strip()} by number, and the table has no row of that number"
        again = "rows were filtered out or split off, and the others kept their numbers: df = df.reset_index(drop=True)"
        return Explained("data-not-as-expected", says, (again, "or take them by place: df[COLUMN].iloc[i], .tolist()"))
    if exception == "KeyError":
        columns = "look at the columns of the file: head -n 1 FILE"
        parted = "where the whole first line became one name: the file is parted by another sign than `sep` says"
        says = f"the table that the script reads has no column {message}"
        return Explained("data-not-as-expected", says, (columns, parted))
    return None


def no_file(package: str, path: str, name: str) -> Explained:
    """A file of a model or adapter that a library opens, and that is not there."""
    says = f"{package} looks for `{path}`, and there is no such file"
    if name == "config.json":
        return Explained(
            "base-not-found", f"{says}: {NO_WHOLE_MODEL}", ("give the folder that holds config.json and the weights",)
        )
    return Explained("adapter-not-found" if name.startswith("adapter_") else "missing-shard", says, ())


def no_json(file: str, message: str) -> Explained:
    """A file that is not what is read of it, by how its JSON breaks."""
    if message.startswith("Extra data: line 2 column 1"):
        lines = 'read it line by line: pandas.read_json(FILE, lines=True), load_dataset("json", data_files=FILE)'
        says = (
            f"{file} has one JSON value a line, or more than one value: it is of JSON Lines, and is read as one value"
        )
        return Explained("corrupt-header", says, (lines, "or make it one list of JSON"))
    if message.startswith("Unexpected UTF-8 BOM"):
        return Explained("corrupt-header", f"{file} begins with a byte order mark (BOM), which JSON must not", (
            "write it again without one: sed -i '1s/^\\xEF\\xBB\\xBF//' FILE",
            "a script of your own: open(FILE, encoding=\"utf-8-sig\")",
        ))  # fmt: skip
    if "codec can't decode" in message:
        says = f"{file} is not written in the encoding that it is read in: {message}"
        return Explained("corrupt-header", says, OTHER_LETTERS[letters_of(message)])
    if message.startswith("Expecting value: line 1 column 1"):
        says = f"{file} does not begin as JSON: it is empty, a pointer of git-lfs, a web page, or of another format"
        return Explained("corrupt-header", says, ("look at its beginning: head -c 200 FILE", _LOOK_AT_ITS_END[1]))
    return _no_whole_json(file, message)


def _no_whole_json(file: str, message: str) -> Explained:
    """Where JSON breaks, and what most often stands there."""
    at = _AT.search(message)
    where = "" if at is None else f" at line {at['line']}, column {at['column']}"
    look = (f"look at the place: sed -n {at['line']}p FILE", *_LOOK_AT_ITS_END) if at is not None else _LOOK_AT_ITS_END
    why = next((why for words, why in _BROKEN if message.startswith(words)), None)
    if why is not None:
        return Explained("corrupt-header", f"{file} is no whole JSON{where}: {why}", look)
    return Explained("corrupt-header", f"{file} is no whole JSON or text{where}: it was cut off, or is another", look)


def no_pickle(package: str) -> Explained:
    """A file at which torch stopped as it read it."""
    says = f"torch stopped as it read a file for {package}: it is none of torch.save, or it is damaged"
    look = "see what it is, and how large: head -c 16 FILE; ls -l FILE"
    return Explained("corrupt-header", says, (look, "download or copy it again, under its own name"))
