"""Values of rows that are of another type than a script's own line takes them for: empty, a number, text. Pure.

The line of code names the field, or the variable of a loop over rows, and the error the type; a line that names neither
stays unexplained, as any program has values that are None.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of, is_own

if TYPE_CHECKING:
    from collections.abc import Callable

_KIND = r"(?P<kind>NoneType|float|int|str|list|dict|bool|tuple)"
_OF_TEXT = (
    "strip|lstrip|rstrip|lower|upper|split|splitlines|replace|startswith|endswith|encode|title|capitalize|find|isdigit|"
    "casefold|format|rsplit|partition|translate"
)
# What Python says where text, a list or an object is wanted; the first that fits.
_WANTED = (
    ("text", re.compile(rf"'{_KIND}' object has no attribute '(?:{_OF_TEXT})'")),
    ("text", re.compile(rf"expected string or bytes-like object(?:, got '{_KIND}')?")),
    ("text", re.compile(r"cannot use a string pattern on a (?P<kind>bytes)-like object")),
    ("text", re.compile(rf"can only concatenate str \(not \"{_KIND}\"\) to str")),
    ("text", re.compile(rf"unsupported operand type\(s\) for \+: (?:'str' and )?'{_KIND}'(?: and 'str')?$")),
    ("text", re.compile(rf"sequence item \d+: expected str instance, {_KIND} found")),
    ("text or a list", re.compile(rf"object of type '{_KIND}' has no len\(\)")),
    ("a list", re.compile(rf"'{_KIND}' object is not iterable")),
    ("a list", re.compile(rf"'{_KIND}' object has no attribute '(?:append|extend|index|sort)'")),
    ("a list or an object", re.compile(rf"'{_KIND}' object is not subscriptable")),
    ("an object with fields", re.compile(rf"'{_KIND}' object has no attribute '(?:get|items|keys|values|update)'")),
    ("an object with fields", re.compile(r"(?P<kind>list) indices must be integers or slices, not str")),
    ("an object with fields", re.compile(r"(?P<text>string) indices must be integers")),
    ("an object with fields", re.compile(r"(?P<text>byte) indices must be integers")),
)
_CALLED = {
    "NoneType": "None (an empty field, null in JSON)", "float": "a number with a point, or an empty cell (pandas reads "
    "it as NaN)", "int": "a number", "str": "text", "list": "a list", "dict": "an object", "bool": "true or false",
    "tuple": "a tuple", "bytes": "bytes, or an array of numpy",
}  # fmt: skip
# The field that a line asks a row for, and names that scripts give to what they take of rows.
_FIELD = re.compile(
    r"(?<!environ)(?:\[\s*[\"'](?P<name>[^\"'\]\n]{1,60})[\"']\s*\]|"
    r"(?<!environ)\.get\(\s*[\"'](?P<got>[^\"'\n]{1,60})[\"'][^\n)]{0,30}\)|"
    r"\b(?:row|ex|example|sample|item|record|r|x|df)\.(?P<member>(?!get\b|items\b|keys\b|values\b|str\b|apply\b)[a-z_]\w{1,40})\b)"
)
_OF_ROWS = re.compile(
    r"(?i)\b(?:row|ex|example|sample|record|item|entry|turn|message|msg|conversation|conv|text|sentence|question|"
    r"answer|instruction|caption|transcript|label|line|doc|utterance|prompt|output|response|annotation|ann|ref|pred)s?\b"
)
_SETTINGS = re.compile(r"(?i)\b(?:args|cfg|config|conf|settings|params|opts?|environ|getenv|yaml)\b")
# What finds nothing gives None, and no row does; what it is given may be a row's.
_MATCHED = re.compile(r"(?<!\.)\bre\.(?:match|search)")
_OF_WHAT_IS_SEARCHED = re.compile(r"^(?:expected string or bytes-like object|cannot use a string pattern)")
_ERROR = re.compile(r"(?P<kind>Type|Attribute|Value|Key|Runtime|Index|Statistics|Parse)Error: (?P<message>.+)")
_LISTED = re.compile(r"^(?P<value>.{1,100}) is not in (?P<kind>list|tuple|range)$")
_INDEXED = re.compile(r"(?P<what>[A-Za-z_][\w.]{0,60})\.index\(")
_LABELS = re.compile(r"(?i)label|class|categor|\btags?\b|emotion|intent|sentiment")
_PARTS = re.compile(r"not enough values to unpack \(expected (?P<want>\d+)(?:, got (?P<got>\d+))?\)|"
                    r"too many values to unpack \(expected (?P<most>\d+)")  # fmt: skip
_UNPACKED = re.compile(r"^\s*\w+(?:, *\w+)+ = \w+\[[\"'](?P<name>\w{1,60})[\"']\]\s*$", re.MULTILINE)
_SPLIT = re.compile(r"\.r?split\((?P<at>[^)\n]{0,20})\)")
_BY_NAME = re.compile(
    r"\b(?:row|ex|example|sample|record|item|entry|translation|pair|batch)s?\[\s*(?P<by>[A-Za-z_][\w.]{0,60})\s*\]"
)
_DECODES = re.compile(r"transformers[/\\][^\n]*tokenization_\w+\.py[^\n]*in convert_tokens_to_string\b[^\0]{0,300}\Z")
_QUOTED = re.compile(r"[\"'](?P<name>[^\"'\n]{1,80})[\"']")
_FORMATS = re.compile(r"\.format(?:_map)?\(")
_CHECKPOINTS = re.compile(r"(?i)check-?points?\b|ckpts?\b")
_NOTHING = re.compile(
    r"(?:max|min)\(\) (?:arg is an empty|iterable argument is empty)|Cannot choose from an empty|"
    r"requires at least one data point|no median for empty|of empty (?:sequence|iterable)|^pop from (?:an )?empty list"
)
_DRAWN = re.compile(r"Sample larger than population|Cannot take a larger sample than population")
# By an option, how many.
_DRAWS = re.compile(
    r"\bsample\(\s*(?P<what>[A-Za-z_][\w.]{0,60}),\s*(?:k=)?(?P<n>(?:args|cfg|config|opts?|self\.args|FLAGS)\.\w{1,60})\s*\)"
)
_SHORTER = re.compile(r"random_ expects 'from' to be less than 'to', but got from=\d+ >= to=-?\d+")
_XML = re.compile(r"no element found: line|not well-formed \(invalid token\)|mismatched tag: line|syntax error: line")
_PART = re.compile(r"'NoneType' object has no attribute '(?:find|findall|text|attrib|get)'")
_FOUND = re.compile(r"\.find\([\"'](?P<name>\w{1,60})[\"']\)")
# From Python 3.12 on a slice has a hash, and is looked for as a key.
_OF_A_SLICE = re.compile(r"unhashable type: 'slice'|^slice\([\w-]+, [\w-]+, [\w-]+\)$")
_SLICED = re.compile(
    r"(?i)(?P<what>\b\w*(?:data\w*|rows?|examples?|samples?|records?|items?|lines?|raw|questions?))\[[^\]\n]{0,60}:"
)
_D = "data-not-as-expected"
_FIND = "print the first rows, and find the one at which it stops: for row in rows: print(row)"


def explain_cell(line: str, before: str) -> Explained | None:
    """What a script's own line met; None where a library stopped, or the line does not tell that it reads rows."""
    found = _ERROR.search(line)
    code = None if found is None else _own_code(before)
    if found is None or code is None:
        return None
    message = found["message"].strip()
    if (told := _of_nothing(message, code) or _of_a_slice(message, code)) is not None:
        return told
    tell = _TELL.get(found["kind"])
    return None if tell is None else tell(message, code)


def _own_code(before: str) -> str | None:
    """The code of the deepest frame that is a script's, where below it stand Python's own files or those of pandas."""
    frames = frames_of(before)
    below = []
    for one in reversed(frames):
        if is_own(one):
            break
        below.append(one)
    else:
        return None
    if any(one.library is not None and one.library != "pandas" for one in below):
        return None
    parts = before.split('File "')
    part = parts[-1 - len(below)] if len(parts) > len(below) + 1 else ""
    lines = [one for one in part.split("\n")[1:] if one.strip(" \t^~│|") and not _ERROR.search(one)]
    return "\n".join(lines[:6]) or None


def _of_nothing(message: str, code: str) -> Explained | None:
    """Lists without anything in them, and files of annotations without what is asked of them."""
    count = "count the rows after each step: print(len(rows)); a filter, an empty file or a wrong path leaves none"
    # `lost_files` tells of folders that lack checkpoints
    if _NOTHING.search(message) is not None and _CHECKPOINTS.search(code) is None:
        return Explained(_D, "the script takes one value of a list that is empty: no rows were read, or none is left", (
            count,
        ))  # fmt: skip
    if _DRAWN.search(message) is not None:
        return _of_draws(code, count)
    if _SHORTER.search(message) is not None:
        says = "the script draws a place in the data, and they are shorter than the block that it cuts from there"
        return Explained(_D, says, ("give more text, or a shorter block (block_size, seq_len)", count))
    if _XML.search(message) is not None:
        return Explained(_D, f"an XML file (annotations of pictures, most often) is empty or no whole XML: {message}", (
            "find it: python -c \"import sys, xml.dom.minidom as m; m.parse(sys.argv[1])\" FILE, and fetch it again",
        ))  # fmt: skip
    names = _FOUND.findall(code) if _PART.search(message) is not None else []
    if not names:
        return None
    says = f"a file of annotations lacks an element that the script asks for: {', '.join(f'`{one}`' for one in names)}"
    return Explained(_D, says, ("look at the file; one without objects has none of them", _FIND))


def _of_draws(code: str, count: str) -> Explained:
    drawn = _DRAWS.search(code)
    if drawn is None:
        return Explained(_D, "the script draws more rows than there are", (count, "draw min(N, len(rows)) of them"))
    says = f"the script draws `{drawn['n']}` of `{drawn['what']}`, which has fewer"
    steps = (f"give a smaller number, or more rows: print(len({drawn['what']}))",)
    return Explained("settings-refused", says, steps)


def _of_a_type(message: str, code: str) -> Explained | None:
    found = next((
        (wanted, one) for wanted, form in _WANTED if (one := form.search(message)) is not None
    ), None)  # fmt: skip
    if found is None or _SETTINGS.search(code) is not None:
        return None
    if _MATCHED.search(code) is not None and _OF_WHAT_IS_SEARCHED.search(message) is None:
        return None
    wanted, groups = found[0], found[1].groupdict()
    kind = "str" if groups.get("text") else groups.get("kind")
    names = [one["name"] or one["got"] or one["member"] for one in _FIELD.finditer(code)]
    if kind == "NoneType" and not names:
        return None  # any call may have given it
    if not names and _OF_ROWS.search(code) is None:
        return None
    held = _CALLED.get(kind or "", "no text: a number, or an empty field (NaN, None)")
    if wanted == "an object with fields":
        return _of_an_object(held, kind, names)
    fields = list(dict.fromkeys(names))
    where = f" in {'the field' if len(fields) == 1 else 'one of the fields'} " if fields else ""
    where += ", ".join(f"`{each}`" for each in fields[:4])
    says = f"the script takes a value of a row{where} for {wanted}, and one is {held}"
    return Explained(_D, says, _of_gaps(kind, fields[0] if fields else "COLUMN"))


def _of_a_slice(message: str, code: str) -> Explained | None:
    what = _SLICED.search(code) if _OF_A_SLICE.search(message) is not None else None
    if what is None:
        return None
    says = (
        f"the script takes some rows of `{what['what']}` as of a list, and it is an object (dict), as the top of "
        "the file is"
    )
    return Explained(_D, says, (
        "see what it has: print(list(data)); where the rows lie below one name: data = data[\"data\"]",
        "or write the file as one list of rows: [{…}, {…}]",
    ))  # fmt: skip


def _of_gaps(kind: str | None, name: str) -> tuple[str, ...]:
    if kind in {"NoneType", "float", None}:
        return (
            f'leave such rows out before: [row for row in rows if row["{name}"]], df.dropna(subset=["{name}"])',
            f'or fill them: df["{name}"].fillna("").astype(str)',
        )
    return (f'find such rows, and write them as the script reads them: print(type(row["{name}"]))', _FIND)


def _of_an_object(held: str, kind: str | None, names: list[str]) -> Explained:
    asked = f" (it asks for {', '.join(f'`{one}`' for one in list(dict.fromkeys(names))[:3])})" if names else ""
    says = f"the script takes a row, or a part of one, for an object with fields{asked}, and it is {held}"
    if kind == "list":
        return Explained(
            _D, says, ("the file is a list of such objects, or of lists: take one, or loop over them", _FIND)
        )
    if kind == "str":
        return Explained(_D, says, (
            "where it is JSON as text, read it: json.loads(value); where a loop runs over an object, it gives its keys",
            _FIND,
        ))  # fmt: skip
    return Explained(_D, says, (_FIND,))


def _of_a_list(message: str, code: str) -> Explained | None:
    if (parts := _PARTS.search(message)) is not None:
        return _of_parts(parts, code)
    found, indexed = _LISTED.match(message), _INDEXED.search(code)
    if found is None or indexed is None:
        return None
    value, what = found["value"], indexed["what"]
    if _LABELS.search(what) is None and _OF_ROWS.search(code) is None:
        return None
    says = f"the data hold {value}, which the script's list `{what}` does not have"
    return Explained(_D, says, (
        "compare the spelling: capitals, blanks at the end, numbers or text",
        f"or add it to `{what}`, where it is meant",
    ))  # fmt: skip


def _of_no_tensor(message: str, _: str) -> Explained | None:
    """A value of which no tensor is made."""
    found = re.search(r"Could not infer dtype of (?P<kind>\w+)", message)
    if found is None:
        return None
    held = _CALLED.get(found["kind"], f"a {found['kind']}")
    return Explained(_D, f"the script makes a tensor of numbers of a value of a row, and one is {held}", (
        "words for labels: give each its number, ids = dict(zip(names, range(len(names))))",
        "texts go through the tokenizer first; leave rows with an empty field out",
    ))  # fmt: skip


def _of_parts(parts: re.Match[str], code: str) -> Explained | None:
    split, field = _SPLIT.search(code), _UNPACKED.search(code)
    if split is None and field is None:
        return None
    want, got = parts["want"] or parts["most"], parts["got"]
    has = f"{got}" if got else ("fewer" if parts["want"] else "more")
    if split is None:
        name = field["name"] if field is not None else ""
        says = f"the script takes the field `{name}` of a row apart into {want}, and one has {has}"
        return Explained(_D, says, (_FIND, f'leave such rows out, or correct them: print(len(row["{name}"]))'))
    at = split["at"].strip() or "blanks"
    says = f"the script splits a line of the data at {at} into {want} parts, and one has {has}"
    return Explained(_D, says, (
        "look for another separator (tab, blank, comma), an empty line, or one in which it stands in the text",
        "head -n 3 FILE | cat -A shows tabs as ^I",
    ))  # fmt: skip


def _of_a_field(message: str, code: str) -> Explained | None:
    """A field whose name stands in a variable: a language, the name of a column."""
    if (key := _QUOTED.fullmatch(message)) is not None and key["name"] not in code and _FORMATS.search(code):
        if (filled := re.search(r"\.format\((?P<names>\s*\w+\s*=[^\n]*)", code)) is not None:
            return _of_a_template(key["name"], filled["names"])
        says = f"the text that the script fills in has a place `{{{key['name']}}}`, and the rows have no such field"
        braces = "braces that are meant as such are written twice in the text: {{ and }}"
        rename = f"rename the field that is meant to `{key['name']}`, or the place in the text"
        return Explained(_D, says, (rename, braces))
    found = _BY_NAME.search(code)
    if found is None or key is None:
        return None
    says = f"the rows have no field {message}, which the script asks for by `{found['by']}`"
    return Explained(_D, says, (
        "print the first row: its names are what can be asked for",
        f"give `{found['by']}` the name that the data have (an option of the script), or rename the field",
    ))  # fmt: skip


def _of_a_template(name: str, given: str) -> Explained:
    names = ", ".join(f"`{one}`" for one in dict.fromkeys(re.findall(r"(?<![\w.\"'=])(\w+)\s*=(?!=)", given)))
    says = f"the template has a place `{{{name}}}`, and the script fills in {names} only"
    return Explained("settings-refused", says, (
        f"rename `{{{name}}}` in the template to the one that is meant",
        "braces that are meant as such are written twice in it: {{ and }}",
    ))  # fmt: skip


def explain_decoding(line: str, before: str) -> Explained | None:
    """Ids beyond the tokenizer, which the model's padded rows give."""
    if "expected str instance, NoneType found" not in line or _DECODES.search(before) is None:
        return None
    says = (
        "the model gave a token that its tokenizer does not have: the embedding has more rows than the tokenizer "
        "has tokens (padded, or of another model), and the model is hardly trained or is not of this tokenizer"
    )
    return Explained("padding-mismatch", says, (
        "compare them: len(tokenizer), model.config.vocab_size; take the tokenizer that belongs to the model",
        "keep the others from being chosen: suppress_tokens=list(range(len(tokenizer), model.config.vocab_size))",
    ))  # fmt: skip


_TELL: dict[str, Callable[[str, str], Explained | None]] = {
    "Type": _of_a_type, "Attribute": _of_a_type, "Value": _of_a_list, "Key": _of_a_field, "Runtime": _of_no_tensor,
}  # fmt: skip
