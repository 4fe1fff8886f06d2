"""A place in a list or a text that a script's own line takes, or a key, and that is not there. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.text.carets import marked_look_up
from envpin.diagnose.logs.text.explained import Explained

if TYPE_CHECKING:
    from collections.abc import Sequence

# A text that is split, one part of which is taken.
_PART = re.compile(
    r"(?P<what>[A-Za-z_][\w.]{0,60}(?:\[[^\]\n]{1,40}\])?(?:\(\))?)(?:\.strip\(\))?"
    r"\.r?split\((?P<at>[^()\n]{0,60})\)\s*\[(?P<n>-?\d+)\]"
)
_GIVEN = re.compile(
    r"(?i)^(?:args|cfg|config|conf|opts?|flags|self\.(?:args|config|cfg))\.|model|(?<![a-z])(?:repo|path|dir|folder|ckpt|"
    r"checkpoint|adapter|dataset_name|name_or)|_name$|_id$"
)
_OF_A_MODEL = re.compile(r"(?i)output|response|answer|generat|decoded|completion|result|repl(?:y|ies)|pred|reasoning")
_OF_DATA = re.compile(
    r"(?i)^(?:line|row|l|s|x|t|r|item|entry|text|label|sent\w*|doc|content|record|example|sample|fname|file_?name|stem|f|p|key|"
    r"utt\w*|prompt|message|tok\w*)s?\b"
)
_SCORES = re.compile(
    r"(?i)(?P<what>\b\w*(?:scores?|probs?|probabilit(?:y|ies)|logits?|preds?|predictions?|outputs?|softmax))"
    r"(?:\[\w{1,20}\])*\[\s*(?P<n>\d+)\s*\]"
)
_FIELD = re.compile(r"\[[\"'](?P<name>\w{1,60})[\"']\]\[(?P<n>-?\d{1,4})\]$")
_BEYOND = re.compile(r"index (?P<n>\d+) is out of bounds for (?:dimension|axis) -?\d+ with size (?P<size>[1-9]\d*)")
_D, _S = "data-not-as-expected", "settings-refused"
# A KeyError that a program caught and printed as text is its key in quotes, and nothing else. Only names that rows of
# text have: of others nothing tells whether a setting or a tensor was looked up.
_KEY_ALONE = re.compile(
    r"(?i)\b(?:error|failed|failure|exception)\b[^\n:]{0,80}[:：] ?(?:KeyError: ?)?(?P<quote>['\"])(?P<key>text|"
    r"response|instructions?|inputs?|outputs?|prompts?|questions?|answers?|labels?|messages|conversations?|content|role|train|"
    r"validation|test|chosen|rejected|completion|context|sentence\d?|target|source|summary|document|dialogue|query|"
    r"translation|audio|image|path|label_ids|input_ids)(?P=quote)$"
)


def of_a_place(message: str, code: str, before: str) -> Explained | None:
    """A part of a text, or a score of a class, beyond those there are; None where the line takes something else."""
    marked = marked_look_up(before)
    line = code if marked is None else f"{marked.what}[{marked.key}]"
    part = _PART.search(line)
    if part is not None and (marked is None or line.endswith(part[0])):
        return _of_a_part(part["what"], part["at"].strip(), int(part["n"]))
    field = _FIELD.search(line)
    if field is not None and marked is not None and "out of range" in message:
        name, number = field["name"], int(field["n"])
        more = number + 1 if number >= 0 else -number
        says = f"the script takes number {more} of the field `{name}` of a row, which has fewer"
        return Explained(_D, says, (
            f"leave such rows out before: [row for row in rows if len(row[\"{name}\"]) >= {more}]",
        ))  # fmt: skip
    beyond, scores = _BEYOND.search(message), _SCORES.search(line)
    if beyond is None or scores is None or beyond["n"] != scores["n"]:
        return None
    says = (
        f"the script takes number {beyond['n']} of `{scores['what']}`, counted from 0, and there are {beyond['size']}: "
        "the model has fewer classes (num_labels) than the script was written for"
    )
    return Explained("model-of-another-kind", says, (
        f"give it a model with at least {int(beyond['n']) + 1} classes: print(model.config.id2label)",
        "or let the script go through model.config.id2label in place of numbers",
    ))  # fmt: skip


def _of_a_part(what: str, at: str, number: int) -> Explained | None:
    where = f"at {at.partition(',')[0]}" if at else "at blanks"
    takes = f"the script splits `{what}` {where} and takes part {number + 1 if number >= 0 else number} of it"
    if _GIVEN.search(what) is not None:
        form = "ORG/NAME" if at.strip("'\"") == "/" else "that the line reads"
        return Explained(_S, f"{takes}: what was given for it has fewer parts", (
            f"give `{what.rpartition('.')[2]}` in the form {form}: print it right before",
            "or let the script take the last part, which is always there: [-1]",
        ))  # fmt: skip
    if _OF_A_MODEL.search(what) is not None:
        return Explained(_D, f"{takes}, and the text has fewer: what the model wrote does not hold this mark", (
            f"print `{what}`: the prompt may be of another form, cut off, or the model is not trained for it",
            "let the script go on where the mark is missing",
        ))  # fmt: skip
    if _OF_DATA.search(what) is None:
        return None
    return Explained(_D, f"{takes}, and one has fewer: a line, name or field of the data is of another form", (
        f"find it: print `{what}` right before", "look for another separator (tab, blank, comma), or an empty line",
    ))  # fmt: skip


def of_a_key_alone(lines: Sequence[str]) -> tuple[int, str, Explained] | None:
    """Which of these lines prints nothing of an error but a key, by its place among them, and what that tells."""
    for at, line in enumerate(map(str.strip, lines)):
        if (found := _KEY_ALONE.search(line)) is not None:
            key = found["key"]
            says = f"the program caught an error and printed its text alone, `{key}`: the data have no such name"
            step = f"look at the names of columns and splits, and call the one that is meant `{key}`: head -n 1 FILE"
            return at, line, Explained(_D, says, (step,))
    return None
