"""Who asked for a name that is not there: the frames before an error tell whose code met another release, or a model of
another kind. Pure.

A name of transformers that peft asks for is a matter of the two; a config that lacks what the code of another model
reads is no matter of releases at all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from envpin.core.command_text import command_text
from envpin.diagnose.logs.context.missing_names import of_lazy_import, wanted_by
from envpin.diagnose.logs.facts.arguments import NEWER_PEFT, NO_RELEASE, fields_of
from envpin.diagnose.logs.facts.model_types import has_parts, model_type_of
from envpin.diagnose.logs.facts.name_facts import NEWER_CODE, OF_ONE_TIME, TRAINING
from envpin.diagnose.logs.text.explained import Explained
from envpin.matrix.support import load_support

if TYPE_CHECKING:
    from envpin.diagnose.logs.facts.name_facts import Words
    from envpin.diagnose.logs.signatures.signature import Signature

PAIR = "peft-transformers-incompatible"
_KEYWORD = re.compile(r"\b(\w+Config)\.__init__\(\) got an unexpected keyword argument '(\w{1,80})'")
# Codes that blame one release, where two met.
_OF_ONE = frozenset({"transformers-api-changed", "library-api-changed", "torch-companion-mismatch"})
_PEFT_ASKS = "peft asks for it: "
_ANOTHER_PEFT = "or take the peft of this transformers: envpin matrix resolve MODEL"
_CAME = re.compile(r"run with [\w-]+ ≥ [\d.]+$")
_OF_PEFT = re.compile(r"(?:No module named|from) '?peft\b")
_RUN_WITH = re.compile(r"run with (?:the )?(?!versions |the )([\w-]+) ")
_STOPPED = re.compile(r"AttributeError: ('\w{1,80}Config' object has no attribute '\w{1,80}')")
# Frames that only hand on a name.
_PASSING = frozenset({"__getattr__", "__getattribute__", "_get_module", "_handle_fromlist"})
_CONFIG = re.compile(r"'?(\w{1,120}Config)'?(?: object)? has no attribute ['`]?(\w{1,120})")
_OF_A_MODEL = re.compile(r"^models[/\\](\w+)[/\\]")
# What only the config of a language model says, and each family calls in its own way; what moved with a release
# (`rope_theta`, `head_dim`) is not among them.
_OF_TEXT = frozenset({
    "hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
    "max_position_embeddings", "rms_norm_eps", "hidden_act", "n_embd", "n_layer", "n_head",
    "n_positions", "layer_norm_epsilon", "d_model", "num_layers", "layer_norm_eps", "hidden_dim", "n_inner",
})  # fmt: skip


def by_who_asked(told: Explained, line: str, before: str) -> Explained:
    """What the facts told of a line, where the frames before it tell more."""
    if told.code == "library-api-changed" and _OF_PEFT.search(line) is not None:
        return _by_transformers(told, before)
    if told.code != "transformers-api-changed":
        return told
    from envpin.diagnose.logs.text.frames import frames_of, of_the_stack

    passing = {"__getattr__", "__getattribute__"}
    frames = of_the_stack([
        one for one in frames_of(before) if one.library != "torch" and one.function not in passing
    ])  # fmt: skip
    if (other := _of_another_kind(line, frames[-1].path if frames else "")) is not None:
        return other
    return Explained(PAIR, *of_the_pair(told)) if frames and frames[-1].library == "peft" else told


def _by_transformers(told: Explained, before: str) -> Explained:
    """What the facts told of a name of peft: a matter of the two where it is transformers that asks for it."""
    from envpin.diagnose.logs.text.frames import frames_of, of_the_stack

    frames = [one for one in of_the_stack(frames_of(before)) if one.function not in _PASSING]
    if not frames or frames[-1].library != "transformers":
        return told
    return Explained(PAIR, f"transformers asks for it: {told.says}", told.fix)


def of_whom(worded: Signature, line: str, before: str) -> Signature:
    """What a signature says, with the library whose code asks for the name that is missing."""
    code, says = worded.code, worded.says
    wanted = None if code != PAIR or worded.after is None else wanted_by(line, before)
    if wanted is not None and wanted.asker != "peft" and says is not None:
        # peft only called what asks: it is not of the pair
        says = f"{wanted.asker} asks for it: {says.removeprefix(_PEFT_ASKS)}"
        fix = tuple(one for one in worded.fix if one != _ANOTHER_PEFT)
        worded = msgspec.structs.replace(worded, code="transformers-api-changed", says=says, fix=fix)
    fix = with_asker(worded.fix, line, before)
    if fix == worded.fix and worded.code in _OF_ONE and (wanted := wanted_by(line, before)) is not None:
        said = " ".join((worded.says or "", *fix))
        if re.search(rf"\b{re.escape(wanted.asker)}\b", said) is None:
            fix = (*fix, f"or take another {wanted.asker}, which asks for `{wanted.name}`: python -m pip check")
    return msgspec.structs.replace(worded, fix=fix)


def with_asker(fix: tuple[str, ...], line: str, before: str) -> tuple[str, ...]:
    """The steps for a name that a release took or gave, with the library whose code asks for it, where the frames show
    one: it is that library which people install."""
    code = next((one for one in fix if one in (NEWER_CODE, OF_ONE_TIME)), None)
    if code is None and (len(fix) > 1 or not fix or _CAME.match(fix[0]) is None):
        return fix
    from envpin.diagnose.logs.text.frames import STANDARD, frames_of, of_the_stack, shown_name

    blamed = next((one[1] for one in map(_RUN_WITH.match, fix) if one is not None), "transformers")
    lazy = of_lazy_import(line, before)
    every = [one for one in frames_of(before) if one.function not in _PASSING and STANDARD.search(one.path) is None]
    if not lazy and every and every[-1].library is None:
        return fix  # a script asks for it, whichever library called that
    frames = of_the_stack(every)
    asks = lazy or (shown_name(str(frames[-1].library)) if frames else blamed)
    if asks in {blamed, "transformers-modules"} or f"'{asks}" in line:
        return fix
    newer = command_text("python", "-m", "pip", "install", "-U", asks)
    step = {
        NEWER_CODE: f"or a newer {asks}, where one does without: {newer}",
        OF_ONE_TIME: f"or take {blamed} and {asks}, which asks for it, of one time: python -m pip check",
        None: f"or an older {asks}: the code of this one asks for it",
    }[code]
    return (*(one for one in fix if one != code), step)


def of_remote_code(code: str, line: str, before: str) -> Explained | None:
    """What is said of a field that code which came with the model asks its own config for: what transformers puts there
    moved, whatever the config says."""
    stopped = _STOPPED.search(line) if code == "config-needs-older-transformers" else None
    if stopped is None:
        return None
    from envpin.diagnose.logs.text.frames import frames_of, of_the_stack

    frames = [one for one in of_the_stack(frames_of(before)) if one.function not in _PASSING]
    if not frames or frames[-1].library != "transformers_modules":
        return None
    file = re.split(r"[/\\]", frames[-1].path)[-1]
    says = f"the code that came with the model (`{file}`) was written for another transformers than runs: {stopped[1]}"
    return Explained("transformers-api-changed", says, (TRAINING, "or take newer code of the model's repository"))


def by_caller(told: Explained, line: str, before: str) -> Explained:
    """What was told of an argument, where a library gives it: that library may be what was changed."""
    blamed = next((one[1] for one in map(_RUN_WITH.match, told.fix) if one is not None), "")
    from envpin.diagnose.logs.text.frames import frames_of, of_the_stack, shown_name

    frames = of_the_stack(frames_of(before))
    asks = shown_name(str(frames[-1].library)) if frames else blamed
    if asks in {blamed, "transformers-modules"} or not blamed:
        return by_a_script(told, line, before)
    came = _CAME.match(told.fix[0]) is not None
    newer = command_text("python", "-m", "pip", "install", "-U", asks)
    step = f"or an older {asks}: the code of this one gives it" if came else f"or a newer {asks}: {newer}"
    return told._replace(says=f"{asks} gives it: {told.says}", fix=(told.fix[0], step))


def by_a_script(told: Explained, line: str, before: str) -> Explained:
    """A field of a peft config that no release has: a script's own call misspells it, where a file may be newer."""
    found = _KEYWORD.search(line) if told.code == NEWER_PEFT and NO_RELEASE in told.says else None
    if found is None:
        return told
    from envpin.diagnose.logs.text.frames import frames_of

    frames = frames_of(before)
    if not frames or frames[-1].library is not None:
        return told
    from difflib import get_close_matches

    like = get_close_matches(found[2], fields_of(found[1]), n=1)
    meant = f", most likely misspelt for `{like[0]}`" if like else ""
    says = f"the script gives `{found[1]}` of peft `{found[2]}`, which {NO_RELEASE}{meant}"
    fix = (
        (f"write `{like[0]}`",) if like else (f"leave out `{found[2]}`, or see what the class takes: help({found[1]})",)
    )
    return Explained("settings-refused", says, fix)


def of_the_pair(told: Explained | Words) -> tuple[str, tuple[str, ...]]:
    """What is said and done about a name of transformers, where it is peft that asks for it."""
    return f"{_PEFT_ASKS}{told.says}", (*told.fix, _ANOTHER_PEFT)


def _of_another_kind(line: str, path: str) -> Explained | None:
    """A config that lacks a field: code of another model reads it, or it is one that this family calls otherwise."""
    found = _CONFIG.search(line)
    own = None if found is None else model_type_of(found[1])
    if found is None or own is None:
        return None
    reads = _OF_A_MODEL.match(path)
    if reads is not None and reads[1] != "auto" and not _is_of(own, reads[1]):
        says = f"the code of `{reads[1]}` reads `{found[2]}` of a `{found[1]}`: the model is of another kind"
    elif reads is None and found[2] in _OF_TEXT and not has_parts(own):
        says = f"a `{found[1]}` has no `{found[2]}`: the program was written for models of another kind"
    else:
        return None
    return Explained("model-of-another-kind", says, (
        "load the model with the class that its config.json names in `architectures`",
        "or give the program a model of the kind that it was written for",
    ))  # fmt: skip


def _is_of(model_type: str, folder: str) -> bool:
    """Whether a folder of transformers holds a model type: several types share one (`gemma3_text` and `gemma3`)."""
    plain, held = model_type.replace("-", "_"), folder.replace("-", "_")
    return plain == held or plain.startswith(f"{held}_") or load_support().window(folder) is None
