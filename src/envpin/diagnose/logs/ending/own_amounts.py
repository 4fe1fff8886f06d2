"""Numbers that a setting gave a script's own line, and templates that it fills. Pure."""

from __future__ import annotations

import re

from envpin.diagnose.logs.text.explained import Explained

# A step, a share and lists of two lengths, which most often are settings.
_NO_STEP = re.compile(r"range\(\) arg 3 must not be zero")
_UNEVEN = re.compile(r"zip\(\) argument \d+ is (?:longer|shorter) than argument")
_OF_SHARES = re.compile(r"(?i)weights?\b|alphas?\b|coeff?|lambda|ratios?|models?\b|adapters?\b|\bsds\b|state_dicts")
_TOO_MANY = re.compile(r"selected index k out of range|k not in range|kth\(=-?\d+\) out of bounds")
_NONE_KEPT = re.compile(r"index -1 is out of bounds for dimension 0 with size 0")
_SHARE = re.compile(r"(?:topk|kthvalue|quantile|argpartition|sort)\(")
# What `format` of a text asks for; JSON in a template has braces as well.
_FORMATS = re.compile(r"\.format(?:_map)?\(")
_NO_FORMAT = re.compile(
    r"Single '[{}]' encountered|unexpected '\{' in field name|expected '\}' before end of string|"
    r"Replacement index \d+ out of range|[Mm]ax string recursion|Invalid format specifier"
)
_KEY = re.compile(r"^[\"'][A-Za-z_]\w{0,80}[\"']$")
_D, _S = "data-not-as-expected", "settings-refused"


def of_a_template(exception: str, message: str, code: str) -> Explained | None:
    """A text whose braces `format` fills."""
    if _FORMATS.search(code) is None or exception not in {"KeyError", "IndexError", "ValueError"}:
        return None
    if exception == "KeyError" and _KEY.match(message.strip()) is not None:
        return None  # a place that the text does have, and the rows do not: cells.py tells it
    if exception != "KeyError" and _NO_FORMAT.search(message) is None:
        return None
    says = (
        "the template (of a prompt, most often) has braces that are to be text, as those of JSON or of code, and "
        f"format takes them for a place to fill: {message.strip()[:80]}"
    )
    return Explained(_S, says, ("double them in the template: {{ and }} stand for { and }",))


def of_an_amount(message: str, code: str) -> Explained | None:
    """A number that a setting gave: a step of 0, more than there are, or another count than of models."""
    if _NO_STEP.search(message) is not None:
        named = re.search(r"range\([^\n]*,\s*(?P<name>[A-Za-z_][\w.]{0,60})\)", code)
        name = f" (`{named['name']}`)" if named is not None else ""
        return Explained(_S, f"the script counts in steps of 0{name}", ("give 1 or more for it",))
    share = _SHARE.search(code) is not None
    if _TOO_MANY.search(message) is not None or (share and _NONE_KEPT.search(message) is not None):
        says = (
            "the script keeps the largest k values of a tensor, and k is none of 1 to its length: a share (density, "
            "ratio, sparsity) above 1 or so small that it keeps nothing, or a top_k above the number of tokens"
        )
        return Explained(_S, says, ("give a share as 0.53, not as 53", "or a smaller k; print it before that line"))
    if _UNEVEN.search(message) is None:
        return None
    if _OF_SHARES.search(code) is None:
        says = "two lists that the script takes row by row have other lengths"
        return Explained(_D, says, ("print both lengths, and filter both by the same rows",))
    says = "the script pairs two lists of other lengths: there has to be one weight for each model"
    return Explained(_S, says, ("count both, as the call or the file of settings gives them",))
