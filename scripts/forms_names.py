"""Names of tensors without what a class or a release puts in front, and the templates that they are held against."""

import importlib.util
import re
from pathlib import Path

from forms_fold import UnfoldableError

ROOT = Path(__file__).resolve().parents[1] / "src" / "envpin" / "diagnose"
_SPEC = importlib.util.spec_from_file_location("blocks", ROOT / "blocks.py")
blocks = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(blocks)
# What a release may save or not: it is computed.
COMPUTED = re.compile(
    r"(?:^|\.)(?:rotary_emb\.inv_freq|masked_bias|attn\.bias|attention\.bias|position_ids|token_type_ids)$"
)


def rules_of(has_parts, classes):
    """What names are held against one another without: the places of a language model, or the prefix of a class."""
    if has_parts:
        return [
            [r"^(?:model\.|language_model\.)+", "", None],
            [r"^(vision_tower|vision_model|visual|audio_tower)\.(?:vision_model|vision_tower)\.", r"\1.", None],
        ]
    prefixes = sorted({one.base_model_prefix for one in classes if one.base_model_prefix})
    return [[rf"^(?:{'|'.join(map(re.escape, prefixes))})\.", "", prefixes]]


def renamed(name, rules):
    for pattern, target, _ in rules:
        name = re.sub(pattern, target, name, count=1)
    return name


def canonical(held, rules):
    found = {renamed(name, rules): shape for name, shape in held.items() if not COMPUTED.search(name)}
    if len(found) != sum(not COMPUTED.search(name) for name in held):
        raise UnfoldableError("two names are one without their place")
    return found


def is_told(block, values, held):
    """Whether a template with these values is what a model has."""
    told = dict(blocks.unfolded(block, blocks.Lengths(values), held))
    return told.keys() == held.keys() and all(blocks.fits(held[name], one) for name, one in told.items())
