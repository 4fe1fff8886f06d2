"""What a script takes a checkpoint for, and what the file holds: a whole model, its tensors, or a run's state. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.ending.raised_words import of_the_program
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import is_own, last_code

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

# A class of a model where a dictionary is wanted: its name begins with a capital.
_WHOLE = re.compile(
    r"argument of type '([A-Z]\w{1,60})' is not (?:iterable|a container)|'([A-Z]\w{1,60})' object is not "
    r"(?:subscriptable|iterable)|'([A-Z]\w{1,60})' object has no attribute '(?:items|keys|values|pop)'"
)
_MEMBER = re.compile(r"'(?P<kind>[\w.]{1,60})' object has no attribute '(?P<name>\w{1,40})'")
# What only tensors have, and what only models have.
_OF_TENSORS = frozenset({
    "contiguous", "clone", "half", "bfloat16", "float", "detach", "dtype", "numel", "element_size", "data_ptr",
    "untyped_storage", "storage", "is_floating_point", "is_contiguous", "dim", "shape", "size", "t", "permute",
    "cpu", "cuda", "to", "norm", "view", "reshape", "transpose", "copy_", "data", "numpy",
})  # fmt: skip
_OF_MODELS = frozenset({
    "state_dict", "eval", "parameters", "named_parameters", "load_state_dict", "generate", "modules", "children",
    "named_modules", "cuda", "to", "half", "train", "config", "save_pretrained",
})  # fmt: skip
_MAPS = frozenset({"dict", "OrderedDict", "collections.OrderedDict", "defaultdict"})
_PLAIN = frozenset({"int", "float", "str", "list", "tuple", "bool", "Namespace", "NoneType"})
_BY_NAME = re.compile(
    r"(?i)state_?dict|ckpt|check_?point|weights?\b|tensors?\b|\bparams?\b|\bsd\w*\[|\bloaded\b|"
    r"for \w+, \w+ in \w+\.items\(\)"
)
_LOADED = re.compile(r"torch\.load\(|(?i:\b\w*(?:model|ckpt|check_?point|\bnet)\w*\.)")
_ENTRY = (
    'load the entry that holds the weights: torch.load(FILE)["state_dict"], ["model"] or as it is called there',
    "see what the file holds: print({k: type(v) for k, v in torch.load(FILE).items()})",
)
_TWO_SHAPES = re.compile(
    r"(?:\btorch\.Size\()?[\[(](?P<one>\d{1,9}(?:, ?\d{1,9}){0,5}),?[\])]\)?[^\n\[(\d]{1,40}"
    r"(?:torch\.Size\()?[\[(](?P<other>\d{1,9}(?:, ?\d{1,9}){0,5}),?[\])]"
)
_NAMED = re.compile(r"(?P<name>[A-Za-z_]\w*(?:\.\w+){1,14})")
_VOCABULARY = re.compile(r"(?i)emb|wte|lm_head|(?:^|\.)(?:output|shared|word)\w*\.")
_HEAD = re.compile(r"(?i)classifier|(?:^|\.)score\b|out_proj|qa_outputs|(?:^|\.)head\b")


def of_a_checkpoint(exception: str, message: str, before: str, frames: list[Frame]) -> Explained | None:
    """What the file holds in place of what the script's line asks of it; None where the line asks something else."""
    if not is_own(frames[-1]):
        return None
    code = "\n".join(last_code(before))
    whole = _WHOLE.search(message) if exception in {"TypeError", "AttributeError"} else None
    if whole is not None and _BY_NAME.search(code) is not None:
        kind = next(one for one in whole.groups() if one is not None)
        says = (
            "the script takes what it loaded for a dictionary of tensors, and the file holds a whole model "
            f"(`{kind}`), as torch.save(model) writes it"
        )
        return Explained("foreign-format", says, (
            "save its weights alone where its class can be imported: torch.save(model.state_dict(), FILE)",
            "or take them in the script: torch.load(FILE, weights_only=False).state_dict()",
        ))  # fmt: skip
    found = _MEMBER.search(message) if exception == "AttributeError" else None
    return None if found is None else _of_a_member(found, code)


def _of_a_member(found: re.Match[str], code: str) -> Explained | None:
    """What has another type than the script's line takes it for."""
    kind, name = found["kind"].rpartition(".")[2], found["name"]
    if kind in _MAPS and name in _OF_MODELS and _LOADED.search(code) is not None:
        says = (
            f"the script asks what it loaded for `{name}`, as a whole model that was saved by torch.save(model), and "
            "the file holds a dictionary: the state dict alone, or a checkpoint of training"
        )
        return Explained("foreign-format", says, (
            "make the model first and load the file into it: model.load_state_dict(torch.load(FILE))", _ENTRY[1],
        ))  # fmt: skip
    if kind not in _MAPS | _PLAIN or name not in _OF_TENSORS or _BY_NAME.search(code) is None:
        return None
    what = "a dictionary" if kind in _MAPS else f"no tensor but `{kind}`"
    says = (
        f"the script takes each entry of the file for a tensor, and one of them is {what}: it is the checkpoint of a "
        "training run (step, optimizer, settings, the weights as one entry), or of another program"
    )
    return Explained("foreign-format", says, _ENTRY)


def of_told_shapes(message: str) -> Explained | None:
    """Two shapes that a script's own words name, and the tensor that has them."""
    found = _TWO_SHAPES.search(message)
    if found is None:
        return None
    one, other = (tuple(map(int, found[side].split(","))) for side in ("one", "other"))
    if one == other:
        return None
    named = _NAMED.search(message.replace("torch.Size", ""))
    name = f"`{named['name']}`" if named is not None else "a tensor"
    says = f"{name} has the shape {list(one)} in one and {list(other)} in the other"
    rows_only = len(one) == len(other) and one[1:] == other[1:]
    if rows_only and named is not None and _VOCABULARY.search(named["name"]) is not None:
        return Explained("vocab-mismatch", f"{says}: their vocabularies differ", (
            "of added tokens, resize first: model.resize_token_embeddings(N), of the larger number",
            "else give the vocab_size of the checkpoint's own settings, or take the files that go with it",
        ))  # fmt: skip
    if rows_only and named is not None and _HEAD.search(named["name"]) is not None:
        return Explained("task-head", f"{says}: they have other numbers of classes", (
            "give num_labels of the checkpoint, or leave the head out",
        ))  # fmt: skip
    return Explained("wrong-base-hidden-size", f"{says}: they are models of other sizes", (
        "compare hidden_size, heads and vocab_size in the two config.json", "take two of one size",
    ))  # fmt: skip


_OTHER_NAMES = re.compile(
    r"(?i)expected list of params|\b(?:params?|parameters?|keys?|tensors?|state_?dicts?|architectures?)\b"
    r"(?: names?| lists?| sets?| sizes?| structures?)?[^\n.]{0,40}"
    r"(?:do(?:es)?(?: not|n['’]t) match|mismatch|differ\b|(?:are|is) (?:not the same|different)|"
    r"not (?:identical|equal))"
)
_TOO_FEW = re.compile(
    r"(?i)found\b[^\n]{0,20}\b(?:checkpoints?|models?)\b[^\n]{0,30}\b(?:need|requires?|expected)|"
    r"\b(?:need|requires?|expected|at least)\b[^\n]{0,20}\b(?:checkpoints?|models?)\b[^\n]{0,40}"
    r"\b(?:found|got|only|but)\b"
)
_PARTS = re.compile(
    r"(?i)\bexpected \d+ (?:[\w-]+ ){0,2}(?:shards?|ranks?|parts|files)\b[^\n]{0,30}\b(?:found|got|only|but|have) \d+|"
    r"\b(?:found|got|only|have) \d+ (?:[\w-]+ ){0,2}(?:shards?|ranks?|parts)\b[^\n]{0,30}\b(?:expected|of|need) \d+"
)
_QUANTIZED = re.compile(r"(?i)\b(?:model|checkpoint|weights?|layers?)\b[^\n]{0,20}\balready (?:been )?quantized")
_UNMAPPED = re.compile(
    r"(?i)\b(?:tensors?|keys?|weights?|params?|parameters?|names?|layers?)\b[^\n]{0,30}\b(?:not in the|"
    r"(?:not|un)[ -]?(?:mapped|converted|handled|renamed|recogni[sz]ed)|left over|no mapping)\b|"
    r"\b(?:no (?:mapping|rule|conversion)|un(?:mapped|handled|converted|recogni[sz]ed)|"
    r"(?:don't|do not) know how to (?:map|convert|rename))\b[^\n]{0,30}"
    r"\b(?:tensors?|keys?|weights?|params?|parameters?|names?|layers?)\b"
)
# An entry of a checkpoint, whose name has no dots, as those of tensors and files have.
_ENTRY_NAME = r"[\"'`](?P<name>[A-Za-z_]\w{0,40})[\"'`]"
_HOLDS = r"\b(?:check-?point|ckpt|state[_ ]?dict)\b(?![/\\.]|[ _-]?(?:dir|folder|path|name))"
_KEY = rf"{_ENTRY_NAME}(?: key| entry| field)?"
_NO_ENTRY = (
    re.compile(
        rf"(?i){_HOLDS}[^\n]{{0,60}}?\b(?:must (?:contain|have|hold)|should (?:contain|have)|"
        rf"(?:does not|doesn['’]t|do not) (?:contain|have)|has no|missing|lacks?|needs?|without|no)\b"
        rf"[^\n\"'`]{{0,30}}{_ENTRY_NAME}(?! files?\b)"
    ),
    re.compile(
        r"(?i)\b(?:no|missing|without)\b(?! check| ckpt| model| file| folder)[^\n\"'`]{0,20}"
        rf"{_KEY}[^\n]{{0,20}}\b(?:in|from|of)\b[^\n]{{0,20}}{_HOLDS}"
    ),
    re.compile(
        rf"(?i){_KEY}(?: was| is)? (?:not (?:found|present|there)|missing)[^\n]{{0,10}} (?:in|from) "
        rf"[^\n]{{0,20}}{_HOLDS}"
    ),
)
_A_TENSOR = re.compile(r"(?:[\w{}]+\.)+(?:weight|bias|gamma|beta|lora_[AB])\b|[\w]+\.weight\b")


def said_of_names(message: str) -> Explained | None:
    """What a merger or converter says of the names of tensors, of an entry, or of how many files it was to find."""
    return _of_an_entry(message) or _of_names(message)


def _of_an_entry(message: str) -> Explained | None:
    lacking = next((one for form in _NO_ENTRY if (one := form.search(message)) is not None), None)
    if lacking is not None:
        says = f"{of_the_program(message)}: the file has no entry `{lacking['name']}`, as another program, another "
        return Explained("foreign-format", f"{says}version of this one, or a save of the weights alone writes it", (
            f"see what it holds: print(list(torch.load(FILE))[:20]); save it as {{\"{lacking['name']}\": …}}",
            "or give the checkpoint that the program's own training wrote",
        ))  # fmt: skip
    return None


def _of_names(message: str) -> Explained | None:
    if _PARTS.search(message) is not None:
        return Explained("missing-shard", of_the_program(message), (
            "copy the parts that are missing from where the others came: each rank or shard wrote one", "ls FOLDER",
        ))  # fmt: skip
    if _QUANTIZED.search(message) is not None:
        return Explained("quantized-base-packed", of_the_program(message), (
            "give it the model as it was before, in 16 bit: the folder whose config.json has no quantization_config",
        ))  # fmt: skip
    if _TOO_FEW.search(message) is not None:
        return Explained("settings-refused", of_the_program(message), (
            "ask for no more checkpoints than there are, or give the folder in which training saved them",
            "see their names: the pattern by which they are looked for stands next to that line",
        ))  # fmt: skip
    if _UNMAPPED.search(message) is not None and _A_TENSOR.search(message) is not None:
        says = f"{of_the_program(message)}: its table of names was made for another model"
        return Explained("serving-limit", says, (
            "take the converter for this architecture, or add these names to its table",
            "a prefix (`module.`, `_orig_mod.`, `model.`) that only the file has is taken off first",
        ))  # fmt: skip
    if _OTHER_NAMES.search(message) is not None:
        says = f"{of_the_program(message)}: the two have tensors of other names, as models of another kind or size have"
        return Explained("model-of-another-kind", says, (
            "take checkpoints of one model and one training", "print what only one has: set(a) ^ set(b)",
        ))  # fmt: skip
    return None
