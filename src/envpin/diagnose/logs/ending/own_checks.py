"""What a program says no to by itself: its own exceptions, by their class and their words. Pure."""

from __future__ import annotations

import re

from envpin.core.command_text import command_text
from envpin.diagnose.logs.ending.own_checkpoints import of_told_shapes, said_of_names
from envpin.diagnose.logs.ending.own_merges import asserted_of_weights, said_of_a_merge
from envpin.diagnose.logs.ending.raised_words import STEPS_OF_THE_PROGRAM, of_the_program
from envpin.diagnose.logs.ending.tokens import of_a_token
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.facts.names import explain_name
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import last_code, shown_name

# Classes that Python has; others a program or a library makes for what it checks.
_OF_PYTHON = frozenset({
    "ValueError", "RuntimeError", "Exception", "AssertionError", "KeyError", "TypeError", "FileNotFoundError",
    "NotImplementedError", "IndexError", "LookupError", "OSError", "EnvironmentError", "IOError",
})  # fmt: skip
_RAISES = re.compile(r"^[ \t>│]*+(?:\d+[ \t│]*+)?(?:raise[ \t]+[\w.]+|assert\b|sys\.exit\()", re.MULTILINE)
_MEANT = re.compile(
    r"^[ \t│]*(?:raise|logg(?:er|ing)\.(?:error|critical|exception)\(|console\.print\(|log\()[ \t]*[rf]?(?P<q>[\"'])"
    r"(?P<said>[^\n]{4,200}?)(?P=q)", re.MULTILINE
)  # fmt: skip
# Names of tensors, which only weights have.
_KEYS = re.compile(
    r"(?i)(?:missing|unexpected|unmatched|unknown|mismatched)\b[^\n]{0,30}\b(?:keys?|tensors?|params?|"
    r"parameters?|weights?)\b[^\n]{0,80}[\w.]+\.(?:weight|bias|lora_[AB])\b"
)
_CLASSES = (
    ("data-not-as-expected", re.compile(r"(?i)data|schema|column|label|sample|corpus|record|^Row")),
    ("settings-refused", re.compile(r"(?i)config|setting|argument|option|usage|param|yaml")),
)
_NOT_THERE = re.compile(
    r"(?i)not ?found|missing|no such|does(?: not|n't) exist|no .{1,60} (?:found|at|in) |"
    r"(?:could|did|can) ?(?:not|n['’]t) (?:find|locate)|unable to (?:find|locate)|"
    r"\bnot (?:been |yet )?(?:loaded|trained|merged|converted|downloaded)\b"
)
_WEIGHTS = re.compile(r"(?i)(?:model|weights?|checkpoint) files?\b|\bshards?\b|\.safetensors\b|\.bin\b")
_ADAPTER = re.compile(r"(?i)adapter|lora|peft")
_MODEL = re.compile(r"(?i)\b(?:base |merged |fine-?tuned )?model\b|checkpoint|weights")
_TOKENIZER = re.compile(r"(?i)tokenizer")
_DATA = re.compile(
    r"(?i)\bcolumns?\b|\bdata ?sets?\b|\b(?:training|train|eval(?:uation)?|validation|test|input|calibration) "
    r"(?:data|examples?|samples?|rows?|texts?|records?|set|split|file)\b|\bexamples?\b|\bsamples?\b|\brows?\b|"
    r"\brecords?\b|\blabels?\b|\.(?:jsonl|csv|tsv|parquet|xlsx?)\b|\bsplits?\b|\b(?:csv|jsonl)\b|\bfields?\b|"
    r"\b(?:at|on|in) (?:line|row) \d+\b|^(?:line|row) \d+\b|"
    r"(?:left|remains?) after (?:\w+ ){0,2}(?:filter|clean|dedup)|"
    r"\b(?:predictions?|references?|hypothes[ei]s|queries|answers)\b|"
    r"\b(?:problems?|questions?|tasks?)\b[^\n]{0,30}\bnot (?:attempted|answered|found)\b|"
    r"\butterances?\b|\bsentences?\b|\bdocuments?\b|\bpassages?\b|\bpairs?\b|\btranscripts?\b|\bcaptions?\b|"
    r"\bannotations?\b|\bconversations?\b|\bdialog(?:ue)?s?\b|\btriplets?\b|\bprompts?\b|\bimages?\b|\baudio\b|\bclass(?:es)?\b"
)
_SETTINGS = re.compile(
    r"(?i)--\w|\bdoes not divide\b|\bdivisible by\b|"
    r"\bargument|\boption|\bconfig|\bsetting|\bparameter|\bmust be\b|\bshould be\b|\bone of\b|\bunknown\b|"
    r"\b(?:length|number|size|count)\b[^\n]{0,30}\b(?:must match|does ?n[o']t match)\b|\bunsupported\b|"
    r"\bnot supported\b|\bnot implemented\b|\binvalid\b|\brequire[sd]?\b|\bchoose\b|\bspecify\b|\bset\b|\bprovide\b"
)
_COLUMNS = re.compile(
    r"(?i)(?:missing|required|no|must (?:have|contain)|without|need).{0,40}?\b(?:columns?|fields?|keys?)(?:\(s\))?"
)
# Rows of which nothing was left when they were cut.
_CUT_AWAY = re.compile(
    r"(?i)\b(?:no|not any|zero|0|all|empty|none|without)\b[^\n]{0,80}\b(?:after|due to|because of|by)\b[^\n]{0,40}"
    r"(?:truncat|tokeni[sz]|max\w*[ _-]?(?:seq\w*[ _-]?)?len|cut-?off|too long|\blength\b)|"
    r"\b(?:all|every)\b[^\n]{0,60}\b(?:longer than|exceeds?|too long)\b"
)
_TOO_LONG = re.compile(
    r"(?i)\b(?:too long|exceeds?|longer than|more than)\b[^\n]{0,60}\btokens?\b|"
    r"\btokens?\b[^\n]{0,40}\b(?:exceeds?|too long|longer than)\b"
)
_BEYOND = re.compile(r"(?i)\blabels?(?: ids?| index| value)?\b[^\n]{0,60}\b(?:out of (?:range|bounds)|outside)\b")
_UNREAD = re.compile(
    r"(?i)(?:can ?not|can['’]t|could ?n[o'’]t|could not|unable to|failed to) (?:read|open|access)\b[^\n]{0,40}?"
    r"[\"'`]?(?P<path>(?:[\w.~-]*/)+[\w.-]+|[\w-]{1,80}\.\w{2,8})[\"'`]?"
)
_FILES = (
    ("adapter-not-found", re.compile(r"(?i)adapter_|(?<![a-z])lora")),
    ("tokenizer-missing", re.compile(r"(?i)tokenizer|vocab")),
    ("base-not-found", re.compile(r"(?i)model|checkpoint|ckpt|weights|\.(?:bin|safetensors|pth?)\b")),
    (
        "data-not-as-expected",
        re.compile(r"(?i)data|\.(?:jsonl|csv|tsv|txt|parquet|wav|mp3|flac|png|jpe?g)\b|image|audio|corpus"),
    ),
)
_LIBRARY = "transformers|trl|peft|accelerate|datasets|unsloth|bitsandbytes|deepspeed|vllm|tokenizers|diffusers"
_OF_A_RELEASE = re.compile(
    rf"(?i)\b(?:installed|this|your|current) (?P<lacks>{_LIBRARY})\b[\w. -]{{0,30}}\b(?:does(?: not|n['’]t) "
    rf"(?:have|provide|support|include|expose)|lacks|has no|is too (?:old|new)|no longer)\b|"
    rf"\b(?:upgrade|downgrade) (?:your )?(?P<take>{_LIBRARY})\b"
)
_BOUND = r"[<>=!~]=? ?\d[\w.]*"
_STATED = re.compile(
    rf"(?i)\b(?:requires?|needs?|expects?|install) (?P<one>{_LIBRARY})(?P<least> ?{_BOUND})|"
    rf"\b(?P<other>{_LIBRARY})(?P<at> ?{_BOUND}) (?:is|are) (?:required|needed)"
)
# Names of classes, as libraries of this field write them.
_CLASS = re.compile(r"\b[A-Z]\w+(?:Trainer|Config|Model|Collator|Callback|Arguments)\b")
_SHAPES = re.compile(r"(?i)shapes?\b|sizes?\b|dimensions?\b|torch\.Size|mismatch")
_CONDITION = re.compile(r"[ \t│]*assert[ \t]+(?P<what>[^\n]{3,160})")
_NO_GPU = re.compile(
    r"(?i)\b(?:cuda|gpus?)\b.{0,20}\b(?:not|no|un)\W?(?:available|found|detected)|\bno (?:cuda|gpus?)\b|"
    r"\b(?:requires?|needs?) (?:a |an |at least \w+ )?(?:cuda|nvidia|gpus?)\b|"
    r"\b(?:cuda|gpus?)\b(?: devices?| support)? (?:is|are) (?:required|needed|necessary|mandatory)\b"
)
_CONDITIONS = (
    ("inputs-do-not-fit", re.compile(r"\.shape|\.size\(|seq_?len|block_size|n_?embd|hidden|\bdim|ndim")),
    ("data-not-as-expected", re.compile(r"(?i)label|data|row|sample|column|example|token|\blen\(")),
    ("settings-refused", re.compile(r"(?i)cfg|config|args\.|opt|batch|rank|alpha|lr\b|world_size|%|mode\b")),
)
_DO = {
    "data-not-as-expected": "look at the data that it reads: the columns, the number of rows, the labels",
    "settings-refused": "change the setting that it names",
}


def _of_no_gpu(message: str) -> Explained | None:
    if _NO_GPU.search(message) is None:
        return None
    return Explained("gpu-not-supported", of_the_program(message), (
        "run it where there is a GPU, with a build of torch for it: torch.cuda.is_available() tells",
        "or give its option for the CPU, where it has one",
    ))  # fmt: skip


def of_own_check(exception: str, message: str, before: str) -> Explained | None:
    """The cause that a script's own `raise` names; None where it does not raise, or its words name none."""
    if _RAISES.search("\n".join(last_code(before))) is None:
        return None
    if exception == "AssertionError" and re.search(r"[A-Za-z]{2}", message) is None:
        return _of_a_condition(last_code(before))
    told = of_a_token(message) or _of_a_length(message) or _of_a_label(message) or _of_no_gpu(message)
    told = told or said_of_a_merge(message) or said_of_names(message)
    told = told or _of_rows_cut_away(message) or _not_read(message) or _of_shapes(message)
    if told is not None:
        return told
    own = exception not in _OF_PYTHON
    code = _of_what_is_not_there(exception, message) or of_words(exception, message, own=own)
    if code is None:
        return None
    steps = (_DO[code], *STEPS_OF_THE_PROGRAM) if code in _DO else STEPS_OF_THE_PROGRAM
    return Explained(code, of_the_program(message), steps)


def of_a_release(message: str) -> Explained | None:
    """A library of which a script says that it asks for another release, or that the installed one lacks something."""
    if (stated := _STATED.search(message)) is not None:
        wanted = f"{stated['one'] or stated['other']}{stated['least'] or stated['at']}".replace(" ", "")
        says = (
            f"{of_the_program(message)}: the program states that it takes `{wanted}`, and another release is installed"
        )
        install = command_text("python", "-m", "pip", "install", wanted)
        return Explained("torch-companion-mismatch", says, (f"install that one: {install}", TRAINING))
    found = _OF_A_RELEASE.search(message)
    if found is None:
        return None
    package = shown_name((found["lacks"] or found["take"]).lower().replace("-", "_"))
    asked = (f"ImportError: cannot import name '{one}' from '{package}'" for one in _CLASS.findall(message))
    names = map(explain_name, asked)
    code = "transformers-api-changed" if package == "transformers" else "library-api-changed"
    known = next((told for told in names if told is not None), None)
    if known is not None:
        return Explained(code, f"{of_the_program(message)}: {known.says}", known.fix)
    says = f"{of_the_program(message)}: the {package} that is installed is of another release than the program asks for"
    return Explained(code, says, (f"take the release of {package} that the program's requirements name", TRAINING))


def _of_a_length(message: str) -> Explained | None:
    if _TOO_LONG.search(message) is None:
        return None
    return Explained("inputs-do-not-fit", f"{of_the_program(message)}: the text has more tokens than the model takes", (
        "cut the text: truncation=True, max_length=…; or take a model with more positions",
    ))  # fmt: skip


def _of_a_label(message: str) -> Explained | None:
    if _BEYOND.search(message) is None:
        return None
    return Explained("index-out-of-range", of_the_program(message), (
        "number the labels from 0, and set num_labels to how many there are", "correct the row that it names",
    ))  # fmt: skip


def _not_read(message: str) -> Explained | None:
    """A file that the program says it cannot read."""
    found = _UNREAD.search(message)
    if found is None:
        return None
    code = next((code for code, kind in _FILES if kind.search(message)), "settings-refused")
    return Explained(code, f"{of_the_program(message)}: `{found['path']}` is not there, or cannot be read", (
        f"see what is there: {command_text('ls', found['path'].rpartition('/')[0] or '.')}",
        "give the name of a file that is there, or its path from the folder in which the command runs",
    ))  # fmt: skip


def _of_rows_cut_away(message: str) -> Explained | None:
    if _CUT_AWAY.search(message) is None or _DATA.search(message) is None:
        return None
    says = f"{of_the_program(message)}: the length to which rows are cut, or above which they are left out, keeps none"
    return Explained("settings-refused", says, (
        "raise it (max_length, max_seq_length, cutoff_len) above the length of the prompts: count one row's tokens",
        "where it is long enough: see that the rows have text, and an answer, before they are tokenized",
    ))  # fmt: skip


def of_keys(message: str) -> Explained | None:
    """Tensors that a script counts after loading: missing in what it loaded, or unknown to the model."""
    if _KEYS.search(message) is None:
        return None
    says, look = of_the_program(message), "print both and compare: list(state_dict)[:5], list(model.state_dict())[:5]"
    if "lora_" in message:
        return Explained("unmatched-adapter-keys", says, (
            "its tensors are called otherwise, or are of other modules: envpin check ADAPTER --base BASE", look,
        ))  # fmt: skip
    return Explained("architecture-drift", says, ("load weights of the model that the code makes", look))


def _of_shapes(message: str) -> Explained | None:
    return of_told_shapes(message) if _SHAPES.search(message) is not None else None


def _of_a_condition(code: list[str]) -> Explained | None:
    """A bare `assert`: what it compares tells whether it speaks of a setting, of the data or of shapes."""
    found = next((one for one in map(_CONDITION.match, code) if one is not None), None)
    if found is not None and (told := asserted_of_weights(found[0])) is not None:
        return told
    named = None if found is None else next((row for row in _CONDITIONS if row[1].search(found["what"])), None)
    if found is None or named is None:
        return None
    says = f"the program asserts `{found['what'].strip()}`, and that does not hold"
    return Explained(named[0], says, ("print both sides of it right before, and change the one that is not meant",))


def of_what_it_meant(exception: str, before: str) -> Explained | None:
    """What a script meant to say where its own complaint failed: it raises text, or logs by a name that it lacks."""
    if exception not in {"TypeError", "NameError"}:
        return None
    found = _MEANT.search("\n".join(last_code(before)))
    if found is None:
        return None
    message = re.sub(r"\{[^}\n]{0,80}\}|%[sdr]", "…", found["said"]).strip()
    code = _of_what_is_not_there("", message) or of_words("", message)
    if code is None:
        return None
    says = f"{of_the_program(message)} (its line for that fails as well)"
    return Explained(code, says, (_DO[code], *STEPS_OF_THE_PROGRAM) if code in _DO else STEPS_OF_THE_PROGRAM)


def _of_what_is_not_there(exception: str, message: str) -> str | None:
    """A model, an adapter or a tokenizer that the program looked for."""
    if _NOT_THERE.search(f"{exception} {message}") is None or _COLUMNS.search(message) is not None:
        return None
    words = f"{re.sub(r'(?<!^)(?=[A-Z])', ' ', exception)} {message}"
    if _DATA.search(words) is not None:
        return None
    for code, pattern in (
        ("tokenizer-missing", _TOKENIZER),
        ("adapter-not-found", _ADAPTER),
        ("missing-shard", _WEIGHTS),
        ("base-not-found", _MODEL),
    ):
        if pattern.search(words) is not None:
            return code
    return None


def of_words(exception: str, message: str, *, own: bool = False) -> str | None:
    """The cause that the words of a check name: data, or a setting."""
    if own and (named := next((code for code, pattern in _CLASSES if pattern.search(exception)), None)) is not None:
        return named
    if _COLUMNS.search(message) is not None and not re.search(r"(?i)config|setting|yaml", message):
        return "data-not-as-expected"
    if exception == "TypeError" or (exception == "KeyError" and " " not in message):
        return None
    if _DATA.search(message) is not None:
        return "data-not-as-expected"
    return "settings-refused" if _SETTINGS.search(message) is not None else None
