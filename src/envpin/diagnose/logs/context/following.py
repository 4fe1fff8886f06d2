"""What a line leaves to those around it: the fields that a config refuses, numbers that do not agree, the column
that a tokenizer was given, why a data set is empty; and what a name that led nowhere tells itself. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.logs.facts.index_names import package_below

if TYPE_CHECKING:
    from collections.abc import Callable

# Pydantic's form: the place, then what is wrong with it and what was given.
_FIELD = re.compile(
    r"^[\s│|]*(?P<name>[A-Za-z_][\w.\-]{0,120})\n[\s│|]*(?P<why>[^\n]{1,200}?) "
    r"\[type=(?P<type>\w+)(?:, input_value=(?P<given>[^\n]{1,120}?), input_type=\w+)?\]",
    re.MULTILINE,
)
_SHOWN = 4
_DEEPSPEED = re.compile(r"^[\s│|]*- ds (?P<ds>[\w.]+=\S{1,40}) vs hf (?P<hf>[\w ().]{1,80}=\S{1,40})", re.MULTILINE)
_DROPPED = re.compile(r"Dropping (?:fully (?:masked|truncated) )?examples|Truncating \w+ dataset")
_TOKENIZED = re.compile(r"(?i)\btok\w*(?:\.\w+)?\([^\n]{0,80}?\[[\"'](?P<name>\w{1,80})[\"']\]")
_BATCHES = re.compile(
    r"train_batch_size is not equal to micro_batch_per_gpu \* gradient_acc_step \* world_size ?(?P<all>\d+) != "
    r"(?P<one>\d+) \* (?P<steps>\d+) \* (?P<processes>\d+)"
)
_PICTURES = re.compile(
    r"equal size, but got (?P<one>\[[134], \d+, \d+\]) at entry \d+ and (?P<other>\[[134], \d+, \d+\])"
)
_IN_YAML = re.compile(r'in "(?P<file>[^"\n]{1,200})", line (?P<line>\d+), column \d+')
_FEATURE = re.compile(r"features \(`(?P<name>\w{1,80})` in this case\)")
# Which row an embedding did not have: what a training shows tells it as well (`text/training_signs.py`).
# A value that was to be replaced: by the shell, by a template, by the person who took the example over.
_PLACEHOLDER = re.compile(
    r"\$\{|\$\(|\{\{|%\(|^\{\w+\}|^<.*>$|^/path/"
    r"|(?i:\byour[-_ /]|/your\b|\bpath[-_/]?to\b|\bxxx+\b|\bchange[-_]?me\b|^todo\b)"
)
# What is written as a path of this machine, which a repository's `OWNER/NAME` seldom is.
_PATH = re.compile(
    r"^(?:[.~]{0,2}[/\\]|[A-Za-z]:[/\\])|/.*/|(?i:/(?:checkpoint-\d+|final|best|last|merged|adapter)$"
    r"|^(?:checkpoints?|ckpts?|outputs?|results?|runs?|models?|saved\w*|artifacts?|weights|adapters?|logs|data|experiments?"
    r"|trained\w*|fine[-_]?tuned\w*)/)"
)
# Where notebooks and rented machines keep files, and few others do.
_ELSEWHERE = re.compile(r"^/(?:content|kaggle|workspace|runpod-volume|teamspace|dbfs|notebooks)/")
# What slow tokenizers of SentencePiece call their vocabulary (`VOCAB_FILES_NAMES` of transformers 4.47.1), where it is
# not tokenizer.model, as of Llama and Gemma.
_SLOW_TOKENIZER = re.compile(r"tokenization_(\w+)\.py")
_VOCABULARY_FILES = {
    "spiece.model": {
        "albert", "bert_generation", "big_bird", "cpm", "fnet", "gpt_sw3", "pegasus", "reformer", "siglip", "t5",
        "udop", "xlnet",
    },
    "sentencepiece.bpe.model": {
        "barthez", "camembert", "m2m_100", "mbart", "mbart50", "mluke", "nllb", "plbart", "seamless_m4t",
        "speech_to_text", "xglm", "xlm_roberta",
    },
    "spm.model": {"deberta_v2"}, "spm_char.model": {"speecht5"}, "sentencepiece.model": {"rembert"},
    "source.spm": {"marian"},
}  # fmt: skip
_LEAST = re.compile(r"minimum required version is (?P<release>\d+(?:\.\d+)+)")
WHICH_ROW = "which-row"
Told = tuple[str, tuple[str, ...]]


def said_after(around: str | None, says: str | None, fix: tuple[str, ...], near: bytes) -> Told | None:
    """The words and steps of a finding, with what the reader called `around` finds near its line; None where that adds
    nothing."""
    tell = TELL.get(around or "")
    return None if tell is None or says is None else tell(says, fix, near.decode("utf-8", "replace"))


def _refused_fields(says: str, fix: tuple[str, ...], near: str) -> Told | None:
    model = re.search(r"`(\w+)`", says)
    at = re.search(rf"validation errors? for {model[1]}\b", near) if model is not None else None
    found = [] if at is None else list(_FIELD.finditer(near, at.end(), at.end() + 4_000))[:_SHOWN]
    if model is None or not found:
        return None
    said = "; ".join(_refused(one) for one in found)
    unknown = [one["name"] for one in found if one["type"] == "extra_forbidden"]
    look = f"see how {', '.join(f'`{one}`' for one in unknown)} is spelt in this release" if unknown else fix[0]
    return f"`{model[1]}` refuses a setting: {said}", (look, *fix[1:])


def _refused(field: re.Match[str]) -> str:
    why = field["why"].rstrip(".")
    given = f", given {field['given']}" if field["given"] and field["type"] != "missing" else ""
    return f"`{field['name']}` ({why[:1].lower()}{why[1:]}{given})"


def _other_numbers(_: str, fix: tuple[str, ...], near: str) -> Told | None:
    found = list(_DEEPSPEED.finditer(near))[:_SHOWN]
    said = "; ".join(f"`{one['ds']}` there, `{one['hf']}` here" for one in found)
    return (f"DeepSpeed's config and the training arguments do not agree: {said}", fix) if found else None


def _why_empty(_: str, fix: tuple[str, ...], near: str) -> Told | None:
    if _DROPPED.search(near) is None:
        return None
    says = (
        "the data set is empty: the trainer dropped every row, as none keeps a token that counts for the loss after "
        "the cut to `max_length`: prompts are as long as that, or nothing is an answer"
    )
    return says, ("raise max_length above the length of the prompts", *fix)


def _which_column(says: str, fix: tuple[str, ...], near: str) -> Told | None:
    found = list(_TOKENIZED.finditer(near))
    if not found:
        return None
    name = found[-1]["name"]
    look = f'find such rows: dataset.filter(lambda row: not isinstance(row["{name}"], str))'
    return f"{says} (the code gives it the column `{name}`)", (look, *fix)


def _which_feature(says: str, fix: tuple[str, ...], near: str) -> Told | None:
    found = _FEATURE.search(near)
    if found is None:
        return None
    name = found["name"]
    drop = (f'a column that the model does not take: dataset.remove_columns("{name}")',) if name != "labels" else ()
    return f"{says}: it is the column `{name}`", (*drop, *(one for one in fix if "remove_columns" not in one))


def _of_pictures(_: str, fix: tuple[str, ...], near: str) -> Told | None:
    found = _PICTURES.search(near)
    if found is None:
        return None
    one, other = (found[name].strip("[]").split(", ") for name in ("one", "other"))
    if one[1:] == other[1:] and {one[0], other[0]} <= {"1", "3", "4"}:
        says = "pictures of different channels (grey, colours, transparent) are stacked to one batch: "
        colours = 'make all colours as they are read: Image.open(FILE).convert("RGB")'
        return f"{says}{found['one']} and {found['other']}", (colours,)
    says = f"pictures of different sizes are stacked to one batch: {found['one']} and {found['other']}"
    return says, ("bring all to one size: transforms.Resize((224, 224)), or the model's image processor", *fix[2:])


def _of_a_decoder(_: str, fix: tuple[str, ...], near: str) -> Told | None:
    if "decoder_outputs = self.decoder(" not in near:
        return None
    says = (
        "the rows have no `labels`, of which an encoder-decoder model makes what its decoder reads, or the model is of "
        "another kind than the program was written for"
    )
    return says, ("add the column `labels`: the tokens of the target text", *fix[1:])


def _where_in_yaml(_: str, fix: tuple[str, ...], near: str) -> Told | None:
    found = _IN_YAML.findall(near)
    if not found:
        return None
    return f"a YAML file of settings does not parse: `{found[-1][0]}`, line {found[-1][1]}", fix


def _which_batches(says: str, fix: tuple[str, ...], near: str) -> Told | None:
    found = _BATCHES.search(" ".join(near.split()))
    if found is None:
        return None
    one, steps, processes = (int(found[name]) for name in ("one", "steps", "processes"))
    product = (
        f"train_batch_size is {found['all']}, and the batch of a GPU by the steps of accumulation by the processes is "
        f"{one} · {steps} · {processes} = {one * steps * processes}"
    )
    return f"{says}: {product}", (
        *fix, "or start as many processes as the config was made for: --num_processes",
    )  # fmt: skip


def _of_a_name(says: str, fix: tuple[str, ...], _: str) -> Told | None:
    """What a name that led nowhere tells itself: it is a placeholder, or written as a path of this machine."""
    path = says.partition("`")[2].partition("`")[0]
    if _PLACEHOLDER.search(path) is not None:
        says = f"`{path}` is a placeholder: nothing put the real name or path in its place"
        write = (
            "write the folder or the repository's name there; what comes from the environment has to be set, and the "
            "program has to read it: a YAML file does not expand ${…} by itself"
        )
        return says, (write, *fix[:1])
    if _PATH.search(path) is None:
        return None
    if _ELSEWHERE.search(path) is not None:
        says = (
            f"`{path}` is a path of another machine (Google Colab, Kaggle, a container), such as adapter_config.json "
            "keeps from training as `base_model_name_or_path`"
        )
        return says, (
            "write into adapter_config.json, or into the script, where the model lies here, or its name on the Hub",
            "without a change of the file: envpin replay merge ADAPTER -o OUT --base FOLDER",
        )  # fmt: skip
    says = f"`{path}` is no folder that is there, seen from where the command ran, and no repository of that name"
    look = f"see what is there, {command_text('ls', path)}: relative paths begin where the command runs"
    return says, (look, "run the step that writes it first, or give the path that it printed", *fix[2:])


def _which_vocabulary(says: str, fix: tuple[str, ...], near: str) -> Told | None:
    found = _SLOW_TOKENIZER.findall(near)
    file = next((file for file, families in _VOCABULARY_FILES.items() if found and found[-1] in families), None)
    if file is None:
        return None
    return says.replace("tokenizer.model", file), tuple(one.replace("tokenizer.model", file) for one in fix)


def _which_part(says: str, _: tuple[str, ...], near: str) -> Told | None:
    """A part of a package that has a package of its own on the index, by the line that imports it."""
    name = says.partition("`")[2].partition("`")[0]
    found = re.findall(rf"(?:from|import) ({re.escape(name)}\.\w[\w.]*)", near)
    package = package_below(found[-1]) if found else None
    if package is None:
        return None
    install = command_text("python", "-m", "pip", "install", package)
    return f"{says}, nor `{package}`, which brings `{found[-1]}`", (f"install it there: {install}",)


def _least_release(says: str, _: tuple[str, ...], near: str) -> Told | None:
    """The release that the lines after a refusal name."""
    found = _LEAST.search(near)
    if found is None:
        return None
    install = command_text("python", "-m", "pip", "install", f"transformers>={found['release']}")
    return f"{says}, which wants {found['release']} or newer", (f"{install}, and start Python again",)


# By the name that a signature gives as `around`.
TELL: dict[str, Callable[[str, tuple[str, ...], str], Told | None]] = {
    "decoder": _of_a_decoder,
    "least-release": _least_release,
    "name": _of_a_name,
    "other-numbers": _other_numbers,
    "pictures": _of_pictures,
    "refused-fields": _refused_fields,
    "vocabulary-file": _which_vocabulary,
    "where-in-yaml": _where_in_yaml,
    "which-part": _which_part,
    "which-batches": _which_batches,
    "which-column": _which_column,
    "which-feature": _which_feature,
    "why-empty": _why_empty,
}
