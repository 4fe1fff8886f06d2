"""Special tokens that the tokenizer of a model does not have, and that a script takes for granted. Pure."""

from __future__ import annotations

import re
from itertools import takewhile

from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of, is_own, last_code, lines_below

_ERROR = re.compile(r"^\W*(?:\w+\.)*(?P<kind>(?:Type|Value|Runtime|Key|Attribute|Index)Error): (?P<said>.+)")
_NOTHING = re.compile(r"NoneType|\bNone\b")
# What a comparison with None gives.
_NO_TENSOR = re.compile(
    r"'bool' object (?:has no attribute|is not (?:subscriptable|iterable))|^argument of type 'bool'"
)
_TOKEN = re.compile(
    r"\b(?P<owner>\w*(?:tok\w*|processor|enc))\.(?P<name>(?P<role>bos|eos|cls|sep|mask|unk|pad)_token(?:_id)?)\b"
)
# A token's own text or number, where a line asks the tokenizer for it another way.
_BARE = re.compile(r"\b(?P<name>(?P<role>bos|cls|sep|mask|unk)_(?:token|tok|id)(?:_id)?)\b")
# Parts that tokenizers of some families do not have.
_NO_PART = re.compile(r"'NoneType' object (?:has no attribute '(?P<name>\w+)'|is not callable)")
_PART = re.compile(
    r"\b\w*(?:tok\w*|processor|enc)\.(?P<part>normalizer|pre_tokenizer|post_processor|decoder)\.(?P<name>\w+)"
)
_PARTS = {
    "normalizer": "GPT-2's and other byte-level BPE have none; those of BERT, Qwen and T5 have one",
    "pre_tokenizer": "SentencePiece-like ones (Llama 2, Gemma) often have none; those of GPT-2 and BERT have one",
    "post_processor": "one that was trained and got none has none; those of BERT, RoBERTa and Llama have one",
    "decoder": "one that was trained and got none has none",
}
_IDS = re.compile(r"\b\w*(?:input_?ids|token_?ids|tokenized\w*|tokens?|ids)\b")
_NO_DTYPE = "Could not infer dtype of NoneType"
_CODE = {"pad": "settings-refused", "eos": "settings-refused"}
_HANDED_ON = frozenset({"transformers", "tokenizers", "torch", "numpy"})
_WHO = "models of some families have none: Qwen no BOS, T5 neither BOS nor CLS, GPT-2 and Llama no MASK, SEP or CLS"


def of_a_special_token(line: str, before: str) -> Explained | None:
    """The token that is None, by the code that used it; None where the error is of something else."""
    error = _ERROR.search(line)
    if error is None or not before:
        return None
    if (part := _no_part(error["said"], before)) is not None:
        return part
    said, compared = error["said"], _NO_TENSOR.search(error["said"]) is not None
    if not (compared or _NOTHING.search(said)) or re.search(r"no attribute '\w+_token(?:_id)?'", said) is not None:
        return None
    code = _code_of_the_script(before)
    used = list(_TOKEN.finditer(code)) or list(_BARE.finditer(code))
    if compared and not re.search(r"[=!]=[^=]*_(?:token|id)|_(?:token|id)\w*\s*[=!]=", code):
        return None
    if used:
        return _lacks(list(dict.fromkeys((one["name"], one["role"]) for one in used)))
    handed = "converted to 'PyString'" in said and "in convert_tokens_to_ids" in before
    among = _NO_DTYPE in said and _IDS.search(code) is not None
    return _lacks_one() if handed or among else None


def _no_part(said: str, before: str) -> Explained | None:
    """A part of the tokenizer that this one does not have."""
    lacking = _NO_PART.search(said)
    used = None if lacking is None else _PART.search(_code_of_the_script(before))
    if lacking is None or used is None or lacking["name"] != used["name"]:
        return None
    part = used["part"]
    says = f"the tokenizer has no {part.replace('_', '-')} (`{part}` is None), which the script uses: {_PARTS[part]}"
    return Explained("model-of-another-kind", says, (
        "give the script a tokenizer of the kind that it was written for",
        f"or leave the step out where there is none: if tokenizer.{part} is not None",
    ))  # fmt: skip


def _code_of_the_script(before: str) -> str:
    """The line of the script's own code that stopped, or that called a tokenizer's or torch's."""
    frames = frames_of(before)
    if not frames:
        return ""
    if is_own(frames[-1]):
        return "\n".join(last_code(before))
    own = [one for one in frames if is_own(one)]
    if not own or frames[-1].library not in _HANDED_ON:
        return ""
    return "\n".join(takewhile(lambda one: 'File "' not in one, lines_below(own[-1], before)))


def _lacks(used: list[tuple[str, str]]) -> Explained:
    names, roles = [name for name, _ in used], {role for _, role in used}
    named = " or ".join(f"`{one}`" for one in names)
    says = f"the tokenizer has no {named} (it is None), which the script uses"
    look = "see which it has: print(tokenizer.special_tokens_map)"
    codes = {_CODE.get(role, "model-of-another-kind") for role in roles}
    if roles == {"pad"}:
        return Explained("settings-refused", says, ("set it first: tokenizer.pad_token = tokenizer.eos_token", look))
    if codes == {"settings-refused"}:
        return Explained("settings-refused", says, (
            look, "take the tokenizer files of the model, or set it: tokenizer.eos_token = …",
        ))  # fmt: skip
    return Explained("model-of-another-kind", f"{says}: {_WHO}", (
        "give the script a model whose tokenizer has it, for which it was written",
        f"or leave it out where it is None; {look}",
    ))  # fmt: skip


def _lacks_one() -> Explained:
    says = (
        "among the tokens that the script makes numbers or a tensor of is a None: most likely that of a special token "
        f"which this tokenizer does not have (`bos_token_id`, `sep_token_id`, `pad_token_id`; {_WHO})"
    )
    return Explained("model-of-another-kind", says, (
        "see which it has: print(tokenizer.special_tokens_map)",
        "give the script a model whose tokenizer has it, or leave it out where it is None",
    ))  # fmt: skip
