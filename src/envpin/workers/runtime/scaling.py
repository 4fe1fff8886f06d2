"""The scale of a LoRA module by the rules of the peft at hand: alpha / r, or alpha / sqrt(r) with `use_rslora`.

Which of the keys of `alpha_pattern` counts for a module was decided in three ways (peft's tuners/lora/model.py and
utils/other.py); each is as old as the first release that it is listed with. Standard library only.
"""

import math
import re
from importlib import metadata
from typing import Dict, Mapping, Optional, Tuple

Release = Tuple[int, ...]

# Until 0.13 the first key of both patterns that matches was looked up in both; 0.14 looks in each by itself. Until then
# a key is an ending behind a dot, as it is written: `a|b` matches what holds `.a`, or begins with `b`.
_EACH_BY_ITSELF: Release = (0, 14)
_IN_BRACKETS: Release = (0, 15)


def installed_peft() -> Optional[Release]:
    """The release of this environment's peft; None where it has none, or one whose version says nothing."""
    try:
        return tuple(int(one) for one in metadata.version("peft").split(".")[:2])
    except (metadata.PackageNotFoundError, ValueError):
        return None


def scale_of(config: Mapping[str, object], module: str, rank: int, peft: Optional[Release] = None) -> float:
    """The factor on B·A of the module at this path; without a release, as the newest peft has it."""
    alpha = _alpha(config, module, peft)
    alpha = float(alpha) if isinstance(alpha, (int, float)) else math.nan
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _alpha(config: Mapping[str, object], module: str, peft: Optional[Release]) -> object:
    default = config.get("lora_alpha", 8)
    alphas = _patterns(config, "alpha_pattern")
    keys = list(alphas)
    if peft is not None and peft < _EACH_BY_ITSELF:
        keys = [*_patterns(config, "rank_pattern"), *keys]
    ending = r".*\.%s$" if peft is not None and peft < _IN_BRACKETS else r"(.*\.)?(%s)$"
    found = next((key for key in keys if _matches(ending % key, module)), module)  # its whole path is a key as well
    return alphas.get(found, default)


def _patterns(config: Mapping[str, object], field: str) -> Dict[str, object]:
    found = config.get(field)
    return found if isinstance(found, dict) else {}


def _matches(pattern: str, module: str) -> bool:
    try:
        return re.match(pattern, module) is not None
    except re.error:
        return False
