"""How it is said what a library raises or stops at: the place, and what its message names. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.catalogue.catalogue import load_catalogue
from envpin.diagnose.logs.context.lost_files import GIVE_ITS_PATH, said_to_be_lost
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.text.explained import Explained

if TYPE_CHECKING:
    from envpin.diagnose.logs.facts.messages import Message
    from envpin.diagnose.logs.text.frames import Frame

# Of a message so much is said again: what it is about stands in its first sentence.
_QUOTED = 160
_SENTENCE_ENDS = re.compile(r"(?<=[a-z)\]`'\"]{3}[.!?:]) (?=[A-Z`])")
# Who speaks, which the words around a quotation say as well.
_NAMED_FIRST = re.compile(r"^[\w.-]{1,20}: (?=[A-Z])")
# What a library says of what it never expected to happen; of a refusal that may be wrong it asks under a condition.
_REPORT = re.compile(
    r"(?i)please report|report this|(?<!error is a bug, please )(?:file|open|submit) (?:a |an )?(?:bug|issue)|"
    r"maybe the .{1,40} changed"
)
_SAYS = {
    "settings-refused": "{package} refuses a setting{place}",
    "data-not-as-expected": "{package} refuses the data{place}",
    "inputs-do-not-fit": "{package} does not take what the model was given{place}",
    "serving-limit": "{package} does not take this model or adapter: it stops{place}",
    "package-missing": "{package} asks for a package that the interpreter does not have{place}",
    "torch-companion-mismatch": "{package} asks for another release of a package than is installed{place}",
    "gpu-not-supported": "{package} asks for what this machine, or its build of torch, cannot do{place}",
    "library-api-changed": "{package} asks for another release of what it works with{place}",
}
LOOK_AT_ROWS = "print the first row and the column names, and compare them with what the trainer's page says"
STEPS = {
    "settings-refused": (
        "change the setting that the message names, or take the release whose page names it", TRAINING
    ),
    "data-not-as-expected": (LOOK_AT_ROWS,),
    "library-api-changed": ("take the release that the message names", TRAINING),
    "torch-companion-mismatch": ("install the release that the message names", TRAINING),
    "gpu-not-supported": (
        "change the setting that asks for it: float32 or float16 for bfloat16, `sdpa` for flash attention",
        "or run on a machine that has it",
    ),
}  # fmt: skip
# What to do with inputs that a model does not take, by what the message speaks of; the first that fits.
_OF_INPUTS = (
    (
        re.compile(r"(?i)length|max_position|too long|longer"),
        "cut the input to what the model takes: truncation=True, max_length=N; a series to its context length",
    ),
    (
        re.compile(r"(?i)image size|height|resolution|pixel|channel"),
        "let this model's own processor make the pictures: AutoImageProcessor.from_pretrained(MODEL), of RGB ones",
    ),
    (
        re.compile(r"(?i)conv1d|kernel size"),
        "give clips of sound with one channel (waveform.mean(0)), and longer ones than the model's first layers take",
    ),
)
STEPS_OF_THE_PROGRAM = ("do what its message says: it is the program's own check",)
_CHANNELS = re.compile(r"expected input\[[\d, ]*\] to have (?P<taken>\d+) channels, but got (?P<given>\d+) channels")
_NUMBER = re.compile(
    r"(?:invalid literal for int\(\) with base 10|could not convert string to float): (?P<value>.{1,60})"
)
_OF_A_SETTING = re.compile(
    r"(?:int|float)\(\s*(?:\w+\.)*(?P<name>\w*(?:size|steps|ratio|rate|length|batch|num\w*|limit))\b"
)
# By what a line of code divides.
_DIVISOR = re.compile(r"(?:/|%)=?\s*(?P<name>len\([\w.]{1,40}\)|[A-Za-z_][\w.]{0,60})")
# A file of data that is not where it was looked for.
_NO_DATA_FILE = re.compile(
    r"(?i)\b(?:file|path|folder|directory)\b[^\n]{0,20}?[`'\"]?(?<![\w./~-])"
    r"(?P<name>[\w./~-]{1,300}\.\w{2,5}|[\w.~-]{0,100}/[\w./~-]{1,300})[`'\"]?"
    r"[^\n]{0,20}?(?:not found|not exist|doesn't exist|no such)"
)
# A package that a message asks for, by the words around its name.
_ASKED_FOR = tuple(
    re.compile(pattern)
    for pattern in (
        r"pip3? install (?:(?:-U|-q|--upgrade|--quiet) )*[\"'`]?(?P<name>[A-Za-z][\w.-]*)",
        r"(?i)install (?:the )?[\"'`](?P<name>[\w.-]+)[\"'`](?: and [\"'`](?P<more>[\w.-]+)[\"'`])?",
        r"(?i)requires? (?:the )?[\"'`]?(?P<name>[\w.-]+)[\"'`]? (?:library|package)",
        r"(?P<name>[\w.-]+)[\"'`]? (?:is|was) not (?:installed|found|available)",
        r"(?i)requires? [\"'`]?(?P<name>[\w.-]+)[\"'`]?(?: or [\"'`][\w.-]+[\"'`])? to be installed",
        r"package for (?P<name>FlashAttention)",
    )
)
_SOME = "a library"
_CALLED = {"flashattention": "flash-attn", "flash_attn": "flash-attn"}
_NO_NAME = frozenset({"it", "package", "library", "module", "which", "that", "the", "this", "and", "git", "e", "r"})
_KEY = re.compile(r"[\"']([^\"'\n]{1,80})[\"']")
# What looks into rows by the name of a column, and what into a set by that of a split.
_COLUMN = re.compile(r"(?i)column '?([^'\n]{1,80}?)'? (?:doesn't exist|not in the dataset)")
_SPLITS = re.compile(r"dataset_dict\.py")


def raised(code: str, package: str, place: str, message: str, around: str = "") -> Explained:
    """What is said of a message that `package` raises on purpose, at `place` or, where no frame shows it, ""."""
    if code == "settings-refused" and _REPORT.search(f"{message}\n{around}") is not None:
        says = f"{package} stops at what it does not expect{_at(place)}, and wants a report: most likely a fault of it"
        return Explained("library-fault", says, ("take a newer release of it", "look for the line in its tracker"))
    if code == "data-not-as-expected" and (column := _COLUMN.search(message)) is not None:
        return no_column(package, column[1], place)
    if (gone := _not_there(code, place, message)) is not None:
        return gone
    if code == "package-missing" and (named := _asked_for(message, package)):
        return _missing(package, named, place)
    quoted = quote(message)
    if code not in _SAYS:
        return Explained(code, _meant(code, package, place, quoted), STEPS.get(code, ()))
    says = _SAYS[code].format(package=package, place=_in(place))
    return Explained(code, f"{says}: {quoted}" if quoted else says, STEPS.get(code, ()))


def raised_alone(known: Message, message: str, context: str) -> Explained:
    """What is said of a known message that no frame comes with: others copy such words, so that its package is named as
    the one that stopped only where the log names it."""
    if re.search(rf"(?i)(?<![a-z]){known.package.replace('-', '[-_ ]?')}(?![a-z])", context) is not None:
        return raised(known.code, known.package, "", message)
    told = raised(known.code, _SOME, "", message)
    return told._replace(says=f"{told.says} (words of {known.package})") if _SOME in told.says else told


def _not_there(code: str, place: str, message: str) -> Explained | None:
    """A file or folder that the message names and says not to be there, whatever setting named it."""
    if code == "settings-refused":
        gone = said_to_be_lost(message)
        return None if gone is None or gone.path is None else gone.explained()
    lost = _NO_DATA_FILE.search(message) if code == "data-not-as-expected" else None
    if lost is None:
        return None
    return Explained(code, f"the data file `{lost['name']}` is not there{_at(place)}", (GIVE_ITS_PATH,))


def _of_inputs(message: str) -> tuple[str, ...]:
    if re.search(r"(?i)image|video|audio|multimodal", message) and re.search(r"(?i)placeholder|tokens", message):
        return ()  # of the places of pictures among the tokens the catalogue tells
    return tuple(step for words, step in _OF_INPUTS if words.search(message) is not None)[:1]


def stopped_at_rows(package: str, place: str, exception: str, message: str) -> Explained:
    """What is said where code that prepares rows stops at one of them."""
    if exception == "KeyError" and message.strip() == "None":
        says = f"{package} looks for a column whose name is None, as none was given{_in(place)}"
        name = "name the column of the text in the trainer's config (`dataset_text_field`), or take a newer release"
        return Explained("data-not-as-expected", f"{says}: this release has no default for it", (name, LOOK_AT_ROWS))
    key = _KEY.fullmatch(message.strip()) if exception == "KeyError" else None
    if key is not None and _SPLITS.search(place) is not None:
        says = f"the data set has no split `{key[1]}`"
        splits = "print the data set, which lists its splits, and name one of them"
        make = "make one of the training rows: dataset.train_test_split(test_size=0.1)"
        return Explained("data-not-as-expected", says, (splits, make))
    if key is not None and re.fullmatch(r"[\w. -]+", key[1]) and "template" not in place:
        return no_column(package, key[1], place)
    says = f"{package} stops at a row of the data, which is not as it reads them{_in(place)}"
    quoted = quote(message)
    return Explained("data-not-as-expected", f"{says}: {quoted}" if quoted else says, STEPS["data-not-as-expected"])


def of_a_division(package: str, place: Frame, code: str) -> Explained | None:
    """A library that divides by what is 0: a setting, or how many rows there are."""
    divisor = _DIVISOR.search(code)
    if divisor is None:
        return None
    name = divisor["name"].rpartition(".")[2]
    if re.search(r"(?i)accumulation|batch_size|_steps$|world|num_\w*(?:heads|groups|gpus?|beams)$", name):
        says = f"{package} divides by `{name}`{_in(place.path)}, which is 0"
        return Explained("settings-refused", says, (f"give `{name}` a number above 0, or leave it to its default",))
    if re.search(r"(?i)metric|eval|train|fit|data|sampl|scor", f"{place.path}:{place.function}") is None:
        return None
    says = (
        f"{package} divides by a number that is 0 (`{divisor['name']}`){_in(place.path)}: there were no rows or batches"
    )
    return Explained("data-not-as-expected", says, (
        "count what it was given: print(len(dataset), len(loader)); a filter, a limit or `drop_last` leaves none",
    ))  # fmt: skip


def of_given_values(exception: str, message: str, package: str, code: str) -> Explained | None:
    """A setting that a library can make no number of, and an answer beyond the choices of its row."""
    number = _NUMBER.search(message) if exception == "ValueError" else None
    setting = None if number is None else _OF_A_SETTING.search(code)
    if number is not None and setting is not None:
        says = f"{package} makes a number of `{setting['name']}`, and was given {number['value']}"
        return Explained(
            "settings-refused", says, ("give it as a number, or in the form that the option's help names",)
        )
    if package == "lm-eval" and exception == "IndexError" and re.search(r"choice|target", code) is not None:
        says = "a row's answer is a number beyond its choices: lm-eval counts them from 0"
        return Explained("data-not-as-expected", says, (
            "number the answers from 0 in the data, or in the task's doc_to_target", "print(doc) of a few rows",
        ))  # fmt: skip
    return None


def no_labels(package: str, place: str) -> Explained:
    """Code that asks something of the labels, and there are none."""
    says = f"the rows have no labels: {package} asks something of them{_in(place)}, and they are None"
    return Explained("data-not-as-expected", says, (
        "give the rows a column `label` or `labels`, as the loss wants it", "or take a loss that needs none",
    ))  # fmt: skip


def of_the_program(message: str) -> str:
    """What a script says no to by itself."""
    quoted = quote(message)
    return f"the program itself stops, no library: {quoted}" if quoted else "the program itself stops, no library"


def no_column(package: str, name: str, place: str) -> Explained:
    """A column or field that the rows do not have."""
    says = f"the data have no column or field `{name}`, which {package} was asked for{_at(place)}"
    rename = f"print the column names of the data, and rename the one that is meant to `{name}`"
    some = f'where only some rows lack it: [i for i, row in enumerate(rows) if "{name}" not in row]'
    named = "or give the program the name that the data have"
    return Explained("data-not-as-expected", says, (rename, named, some))


def quote(message: str) -> str:
    """The first sentences of a message, as many as fit, or what fits of the first one, in quotation marks."""
    text = " ".join(message.split())
    if (
        text[:1] in ("'", '"') and text[0] == text[-1] and text.count(text[0]) == 2
    ):  # as KeyError prints what it is given
        text = text[1:-1]
    sentences = _SENTENCE_ENDS.split(_NAMED_FIRST.sub("", text))
    kept = sentences[0]
    for one in sentences[1:]:
        if len(kept) + len(one) >= _QUOTED:
            break
        kept = f"{kept} {one}"
    kept = kept.rstrip(" .:;,!")
    if len(kept) > _QUOTED:
        kept = f"{kept[:_QUOTED].rsplit(' ', 1)[0]} …"
    return f'"{kept}"' if len(kept) > 1 else ""


def _asked_for(message: str, asking: str) -> list[str]:
    """The packages that a message asks for, as the index calls them; of `trl[vllm]` not trl itself, which asks."""
    matches = (pattern.search(message) for pattern in _ASKED_FOR)
    found = next((one for one in matches if one is not None and one["name"].lower() != asking), None)
    if found is None:
        return []
    names = [name.strip(".-") for name in found.groupdict().values() if name is not None]
    named = [_CALLED.get(name.lower(), name) for name in names]
    return [] if not named or {name.lower() for name in named} & _NO_NAME else named


def _missing(package: str, named: list[str], place: str) -> Explained:
    both, which = " and ".join(f"`{name}`" for name in named), "it" if len(named) == 1 else "one of them"
    says = f"{package} asks for {both}{_at(place)}, and the interpreter that ran does not have {which}, or an older one"
    install = command_text("python", "-m", "pip", "install", "-U", *named)
    return Explained("package-missing", says, (
        f"install into that interpreter: {install}", "or leave out the setting that asks for it", TRAINING,
    ))  # fmt: skip


def _in(place: str) -> str:
    return f", in `{place}`" if place else ""


def _at(place: str) -> str:
    return f" (`{place}`)" if place else ""


def _meant(code: str, package: str, place: str, quoted: str) -> str:
    if " " in quoted:
        return f"{package} stops{_in(place)}: {quoted}"
    meaning = load_catalogue()[code].meaning.partition(". ")[0].rstrip(".")
    return f"{package} raises this itself{_in(place)}. What it speaks of: {meaning[:1].lower()}{meaning[1:]}"


def _of_channels(found: re.Match[str], place: str) -> Explained:
    """Pictures of other colours, or features of sound by another extractor."""
    taken, given = int(found["taken"]), int(found["given"])
    says = f"the model takes inputs of {taken} channels, and is given {given}{_in(place)}"
    if {taken, given} <= {80, 128}:
        says = f"{says}: features of sound by the processor of another Whisper (large-v3 has 128 of them, others 80)"
        return Explained("inputs-do-not-fit", says, ("take this model's own: AutoProcessor.from_pretrained(MODEL)",))
    if taken in {1, 3, 4} and given in {1, 2, 3, 4}:
        says = f"{says}: pictures that are grey, in colours, or have transparency"
        return Explained("inputs-do-not-fit", says, ('bring all to one kind: Image.open(FILE).convert("RGB")',))
    return Explained("inputs-do-not-fit", says, (
        "make them with this model's own processor; the channels stand in the second place of the shape: [N, C, …]",
    ))  # fmt: skip


def other_shapes(place: str, message: str) -> Explained:
    """Tensors that do not fit each other in the code of a model."""
    if (found := _CHANNELS.search(message)) is not None:
        return _of_channels(found, place)
    if "Kernel size can't be greater" in message or "input to conv" in message:
        short = "Kernel" in message
        why = "is shorter than its first layers take" if short else "has other dimensions (stereo, a batch)"
        says = f"the input, such as a clip of sound, {why}{_in(place)}: {quote(message)}"
        return Explained("inputs-do-not-fit", says, (_OF_INPUTS[-1][1],))
    says = f"tensors that do not fit each other meet{_in(place)}: {quote(message)}"
    return Explained("inputs-do-not-fit", f"{says}: inputs of another length or kind, or weights of another model", (
        "print the shapes that the model is given: {name: tensor.shape for name, tensor in batch.items()}",
        "cut and pad all of them alike, and make them with the tokenizer or processor of this model",
    ))  # fmt: skip
