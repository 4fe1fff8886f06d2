"""A merged model that was saved with peft's wrappers in it: its tensors have names that only peft gives.

peft's own LN tuning leaves `modules_to_save` wrapped when it merges, and so does saving a model that was not merged.
transformers finds no such tensor, and makes a new one instead. Standard library only.
"""

import re
from typing import Dict, Iterable, NamedTuple, Optional, Set, Tuple

from ..results import JudgedTensor

_PREFIX = "base_model.model."
_TRAINED = re.compile(r"\.(?:modules_to_save|ln_tuning_layers)\.[^.]+\.")
_LEFT = re.compile(r"\.(?:original_module|base_layer)\.")


class Wrapped(NamedTuple):
    """`stored` maps the name of a merged tensor to the one that its file has; `copies` are what peft keeps of the base
    next to what was trained."""

    stored: Dict[str, str]
    copies: Tuple[str, ...]


def find(names: Iterable[str]) -> Wrapped:
    held = sorted(names)
    stored = {_TRAINED.sub(".", name): name for name in held if _TRAINED.search(name)}
    copies = []
    for name in held:
        plain = _LEFT.sub(".", name)
        if plain == name or _TRAINED.search(name):
            continue
        if plain in stored:
            copies.append(name)
        else:
            stored[plain] = name
    taken = set(held)
    return Wrapped({plain: name for plain, name in stored.items() if plain not in taken}, tuple(copies))


def own_names(adapter: Iterable[str]) -> Set[str]:
    """The adapter's tensors as a model that holds them calls them, but for the adapter's name."""
    return {one[len(_PREFIX) :] if one.startswith(_PREFIX) else one for one in adapter}


def is_of_adapter(name: str, own: Set[str]) -> bool:
    """Whether a tensor of the merged model is one of the adapter's `own`: its file leaves out the adapter's name, which
    a model that was saved unmerged has in it (`lora_A.default.weight`)."""
    pieces = name.split(".")
    return name in own or any(".".join(pieces[:at] + pieces[at + 1 :]) in own for at in range(len(pieces)))


def judged(verdict: JudgedTensor, stored: Optional[str]) -> JudgedTensor:
    """The verdict on a tensor, where its file calls it `stored`: right values do not make it one that is loaded."""
    if stored is None:
        return verdict
    if verdict.state in ("equal", "rounding"):
        why = "its values are right, under peft's own name `%s`" % stored
        return JudgedTensor(verdict.tensor, "wrong", verdict.changed, cause="peft-names", why=why)
    why = "under peft's own name `%s`%s" % (stored, "; %s" % verdict.why if verdict.why else "")
    return verdict._replace(why=why)
