"""What rows of data lack, told by the frames that ask them: a column, a split, a text that is None, a row at all. Pure.

Asked before the frames that blame a library: code that prepares rows is called by `datasets`, so that the deepest frame
is the script's own or that of datasets, and neither is at fault.
"""

from __future__ import annotations

import re

from envpin.diagnose.logs.text.carets import marked_look_up
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of, of_the_stack

_KEY = re.compile(r"KeyError: [\"'](?P<name>[^\"'\n]{1,120})[\"']\s*$")
# Rows and batches as `datasets` hands them to a function, and its dictionaries of splits.
_OF_A_ROW = re.compile(
    r"datasets[/\\]formatting[/\\]formatting\.py[^\n]*in (?:__getitem__|_check_valid_column_key)[^\0]{0,400}\Z"
    r"|datasets[/\\]arrow_dataset\.py[^\n]*in (?:apply_function|__getitem__|_getitem)[^\0]{0,1500}\Z"
)
_OF_SPLITS = re.compile(r"datasets[/\\]dataset_dict\.py[^\n]*in __getitem__[^\0]{0,300}\Z")
_MAPPED = re.compile(r"datasets[/\\]arrow_dataset\.py[^\n]*in (?:apply_function|function_wrapper|iter_outputs)")
_NONE = re.compile(
    r"TypeError: [^\n]*(?:not \"?NoneType|'NoneType'|found NoneType)|AttributeError: 'NoneType' object has no attribute"
)
# A look-up in another table than a row, such as that of the labels, at the end of what stands before the error.
_A_ROW = (
    r"(?:self\.)?(?:examples?|rows?|batch|items?|samples?|records?|elements?|instances?|data\w*|features?|x|ex|messages?|"
    r"msgs?|turns?|conv\w*|dialog\w*)\b"
)
_IN_A_TABLE = re.compile(
    rf"(?<![\w.])(?!{_A_ROW})"
    r"(?P<table>[\w.]+)\[(?![\"'])[\w.]+\][^\n]*\n(?:[ \t~^]*\n)*\Z"
)
# One of the messages of a row, asked for its role or text.
_OF_A_MESSAGE = re.compile(
    r"(?<![\w.])(?:messages?|msgs?|turns?|conv\w*|dialog\w*)(?:\[-?\w+\])?\[[^\n]*\n(?:[ \t~^]*\n)*\Z"
)
# A function that forgot its `return`, or a tokenizer that was never made, are None as well: no row is to blame there.
_OTHER_NONE = re.compile(r"tokenizer\b[^\n]*\n[^\n]*\Z|chat_template")
# The columns that the last lines of code ask a row for.
_COLUMN = re.compile(r"\[[\"'](\w{1,80})[\"']\]")
_ASSIGNED = re.compile(r"^[ \t]*\w+(?:\[[^\]\n]{1,80}\])+ = ", re.MULTILINE)
_NO_TEXT = "You need to specify either `text` or `text_target`"
_SUM = re.compile(r"unsupported operand type\(s\) for \+: 'int' and '(?P<kind>\w+)'")
_SUMMED = re.compile(r"\bsum\([^\n]{0,80}?\[[\"'](?P<name>\w{1,80})[\"']\]")
_JOINED = re.compile(r"can only concatenate (?P<one>list|str) \(not \"(?P<other>list|str)\"\) to ")
_ONE_ROW = re.compile(
    r"formatting_func\(\w+\)[^\n]*\n(?:[ \t~^]*\n)*[^\n]*\n[^\n]*\[\w+\][^\n]*\n(?:[ \t~^]*\n)*[^\n]*\Z"
)
_SHORT = re.compile(r"IndexError: (?:list|string) index out of range")
_EMPTY = re.compile(r"packaged_modules[/\\](\w+)[/\\]\w+\.py[^\n]*in _split_generators[^\0]{0,500}\Z")
# LLaMA-Factory tells in its next error what it found no row for.
_SAYS_IT_ITSELF = re.compile(r"llamafactory[/\\]data[/\\]loader\.py")
_FIRST_ROW = re.compile(r"next\(iter\([^\n]*(?:dataset|rows|examples|data)\b[^\n]*\n(?:[ \t~^]*\n)*[^\n]*\Z")
_FIRST = "print the first row and the names of the columns: print(dataset.column_names, dataset[0])"


def explain_row(line: str, before: str) -> Explained | None:
    """What rows lack; None where the lines before the error are not of code that reads rows."""
    if (found := _KEY.search(line)) is not None:
        return _of_key(found["name"], before)
    if line.strip() == "StopIteration":
        return _of_no_rows(before)
    if _NO_TEXT in line:
        return _no_text(_columns(before))
    if _NONE.search(line) is not None and _MAPPED.search(before) is not None and _OTHER_NONE.search(before) is None:
        return _none(_columns(before, frames=1))
    return _of_types(line, before)


def _columns(before: str, frames: int = 8) -> list[str]:
    """The columns that the code of the deepest frames asks a row for: those of the deepest frame that names some."""
    for part in reversed(before.split('File "')[-frames:]):
        code = _ASSIGNED.sub("", part.partition("\n")[2])
        if (names := _COLUMN.findall(code)) and "apply_function" not in part:
            return [one for one in dict.fromkeys(names) if one != "input_ids"]
    return []


def _no_text(columns: list[str]) -> Explained:
    """A tokenizer that was called with None."""
    where = f" in the column {_named(columns)}" if columns else ""
    drop = f'row["{columns[0]}"] is not None' if columns else "all(value is not None for value in row.values())"
    return _said(
        f"the tokenizer was given None in place of a text: a row is empty (null in JSON){where}",
        f"leave such rows out before: dataset.filter(lambda row: {drop})", "or fill them in the file",
    )  # fmt: skip


def _none(columns: list[str]) -> Explained:
    read = f" (the line reads {_named(columns)})" if columns else ""
    return _said(
        f"where the function that `map` calls wants a value it got None{read}: a row has an empty field (null in "
        "JSON), or a function of the script, such as `formatting_func`, returned nothing for it",
        "leave such rows out before: dataset.filter(lambda row: all(value is not None for value in row.values()))",
        _FIRST,
    )


def _of_types(line: str, before: str) -> Explained | None:
    """Values of other types than the code of a trainer counts or joins."""
    if (found := _SUM.search(line)) is not None and (summed := _SUMMED.search(before[-1_500:])) is not None:
        return _said(
            f"the values of the column `{summed['name']}` are {found['kind']} where true and false, or numbers, are "
            "summed", f'make them booleans: dataset.map(lambda row: {{"{summed["name"]}": row["{summed["name"]}"] '
            '== "true"})',
        )  # fmt: skip
    joined, columns = _JOINED.search(line), _columns(before, frames=1)
    if joined is not None and joined["one"] != joined["other"] and len(columns) > 1 and of_the_stack(frames_of(before)):
        first, second = ("messages", "text") if joined["one"] == "list" else ("text", "messages")
        return _said(
            f"the rows are of two forms: `{columns[0]}` is {first} and `{columns[1]}` is {second}",
            "give all columns one form: text, or lists of messages: [{\"role\": \"assistant\", \"content\": text}]",
        )  # fmt: skip
    if "IndexError: " in line and "index out of range" in line and _ONE_ROW.search(before) is not None:
        says = (
            "`formatting_func` goes through the rows of a batch, and this trl calls it with one row: older releases "
            "gave it a batch"
        )
        return Explained("library-api-changed", says, (
            "return the text of the one row that it is given: return f\"{row['question']} {row['answer']}\"",
            "or run with the trl of the training run: envpin run ADAPTER -- CMD",
        ))  # fmt: skip
    if _SHORT.search(line) is not None and _MAPPED.search(before) is not None and columns:
        kind = "text" if "string" in line else "list"
        return _said(
            f"the function that `map` calls asks for a place that a {kind} in {_named(columns)} does not have: the row "
            "is empty there, shorter than another column, or text where a list is wanted",
            f"print rows until it stops: for row in dataset: print(row[\"{columns[0]}\"])",
            f"leave empty ones out before: dataset.filter(lambda row: len(row[\"{columns[0]}\"]) > 0)",
        )  # fmt: skip
    return None


def _named(columns: list[str]) -> str:
    return " or ".join(f"`{one}`" for one in columns[:3])


def _of_no_rows(before: str) -> Explained | None:
    if (kind := _EMPTY.search(before)) is not None:
        return _said(f"the {kind[1]} file that the data set is made of is empty", "look at the file: wc FILE")
    if _SAYS_IT_ITSELF.search(before) is not None:
        return None
    if _FIRST_ROW.search(before) is not None and of_the_stack(frames_of(before)):
        return _said("a library asks for the first row of a data set, and there is none: a filter, a split or the file "
                     "left no rows", "count them after each step: print(len(dataset))")  # fmt: skip
    return None


def _of_key(name: str, before: str) -> Explained | None:
    if _OF_SPLITS.search(before) is not None:
        return _said(
            f"the data set has no split `{name}`: one that is made of a file has `train` alone",
            "see the names of the splits: print(dataset)", "make one: dataset[\"train\"].train_test_split(0.1)",
        )  # fmt: skip
    if _OF_A_ROW.search(before) is None:
        return None
    above = before.rpartition("KeyError: ")[0] if "KeyError: " in before[-400:] else before
    if (table := _table(above)) is not None:
        says = (
            f"the rows hold `{name}`, which the script looks up in `{table}`, and that has no such entry: a "
            "value or label that it was not made of, or one that is spelt otherwise"
        )
        compare = f"compare them: print({table}), and the values of the column"
        return _said(says, compare, "correct such rows, or add the entry to what the table is made of")
    if _OF_A_MESSAGE.search(above) is not None:
        says = f"the messages of the rows have no field `{name}`, which the code asks for: they are of another form"
        form = (
            "print the first row, and bring its messages to the form that the program's page shows, or give it the "
            "names of their fields"
        )
        return _said(says, form, "`from` and `value` are the fields of ShareGPT, `role` and `content` those of OpenAI")
    rename = f'name it so before: dataset.rename_column(OLD, "{name}")'
    if re.search(r"(?:llamafactory|llmtuner)[/\\]data[/\\]", above) is not None:
        rename = (
            f"LLaMA-Factory: `columns` of its entry in dataset_info.json names `{name}`: let it name what the file has"
        )
    if "dataset_text_field]" in above[-1_500:]:
        rename = (
            "of conversations: name it `messages`, of prompt and answer `prompt` and `completion`; of text "
            f"`{name}`, or give its name as dataset_text_field"
        )
    return _said(f"the rows have no column `{name}`, which the code asks for", _FIRST, rename)


def _table(above: str) -> str | None:
    """What a value of a row is looked up in: as Python marks it, or as the line of code ends."""
    marked = marked_look_up(above)
    if marked is not None and re.fullmatch(rf"(?!{_A_ROW})[\w.]{{1,60}}", marked.what):
        return marked.what if marked.key[:1] not in {'"', "'"} else None
    found = _IN_A_TABLE.search(above)
    return None if found is None else found["table"]


def _said(says: str, *fix: str) -> Explained:
    return Explained("data-not-as-expected", says, fix)
