"""A name that torch does not have and a script asks for, of which no collected fact tells the release. Pure.

Where an installed package asks, the two are of different times, which its signature says.
"""

from __future__ import annotations

import re

from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import STANDARD, frames_of

_NAME = re.compile(
    r"module '(?P<of>torch(?:\.[\w.]+)?)' has no attribute '(?P<attribute>\w+)'|"
    r"cannot import name '(?P<name>\w+)' from '(?P<module>torch(?:\.[\w.]+)?)'|"
    r"No module named '(?P<file>torch\.[\w.]+)'"
)
_MEANT = re.compile(r"Did you mean: '(\w+)'")
_PASSING = frozenset({"__getattr__", "_handle_fromlist", "import_module", "_gcd_import"})
# As types of numbers are called, and the most usual of those that there are.
_TYPE = re.compile(r"(?:b?float|bf?|fp?|[iu]|u?int|half|double)_?(\d+)\w*")
_TYPES = ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8")


def explain_torch_name(line: str, before: str) -> Explained | None:
    """None where an installed package asks, or no frame shows who does."""
    found, frames = _NAME.search(line), [one for one in frames_of(before) if one.function not in _PASSING]
    asks = [one for one in frames if one.library is not None or STANDARD.search(one.path) is None]
    if found is None or not asks or asks[-1].library is not None:
        return None
    module, name = found["of"] or found["module"] or "", found["attribute"] or found["name"] or ""
    if module == "torch" and (typed := _TYPE.fullmatch(name)) is not None:
        return _of_a_type(name, typed[1])
    said = f"`{name}` of `{module}`" if name else f"the module `{found['file']}`"
    meant = _MEANT.search(line)
    other = "it was written for another torch" + (", or the name is misspelt" if meant is not None else "")
    says = f"the script asks for {said}, which the torch that ran does not have: {other}"
    suggested = () if meant is None else (f"where that is what the line means, write `{meant[1]}`, which torch has",)
    return Explained("library-api-changed", says, (
        *suggested,
        "write what this torch has in its place: its release notes name it",
        f"or the torch that the script was written for: its requirements, or its date; {TRAINING}",
    ))  # fmt: skip


def _of_a_type(name: str, bits: str) -> Explained:
    kind = "int" if re.match(r"u?i|u\d", name) else "float"
    alike = [one for one in _TYPES if kind in one and re.sub(r"\D", "", one) == bits]
    others = f": is {' or '.join(f'`torch.{one}`' for one in alike)} meant?" if alike else ""
    says = f"torch has no type of numbers `{name}`, which the script makes of a setting or writes itself{others}"
    return Explained("settings-refused", says, (f"give one that there is: {', '.join(_TYPES)}",))
