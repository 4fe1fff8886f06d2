"""Does every tensor of an adapter file sit in the loaded model, with its values?

peft loads with `strict=False`: a tensor whose name matches nothing is dropped, and the model silently stays the base.
So each tensor of the file is looked for in the model, by its name first, and where a release renamed modules, by
its values among the adapter's own parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, NamedTuple

if TYPE_CHECKING:
    import peft
    import torch

# Words that peft puts into the names of a wrapped model and that its files do not carry.
_WRAPPERS = {"modules_to_save", "base_layer", "token_adapter"}


class Accounted(NamedTuple):
    """The names of an adapter file, sorted by what became of their tensors."""

    matched: List[str]
    renamed: List[str]
    copies: List[str]
    lost: List[str]


def account(model: peft.PeftModel, tensors: Dict[str, torch.Tensor], adapter_name: str = "default") -> Accounted:
    """Sort the tensors of an adapter file into `matched`, `renamed` (found by value), `copies` and `lost`.

    `copies` are the untrained originals that peft up to 0.13 stores beside a trained module once the vocabulary grew,
    and never loads again; they count as copies only where the trained module is in the file too.
    `model` is the PeftModel, `tensors` maps each name in the adapter file to its tensor.
    """
    held = _held(model, adapter_name)
    free = {id(tensor): tensor for candidates in held.values() for tensor in candidates}
    matched: List[str] = []
    unseen: List[str] = []
    copies: List[str] = []
    for name in sorted(tensors):
        if ".original_module." in name and name.replace(".original_module.", ".") in tensors:
            copies.append(name)
            continue
        found = next((t for t in held.get(_plain(name, adapter_name), []) if _same(t, tensors[name])), None)
        if found is None:
            unseen.append(name)
        else:
            matched.append(name)
            free.pop(id(found), None)
    renamed: List[str] = []
    lost: List[str] = []
    for name in unseen:
        found = next((tensor for tensor in free.values() if _same(tensor, tensors[name])), None)
        if found is None:
            lost.append(name)
        else:
            renamed.append(name)
            del free[id(found)]
    return Accounted(matched, renamed, copies, lost)


def _held(model: peft.PeftModel, adapter_name: str) -> Dict[str, List[torch.Tensor]]:
    held: Dict[str, List[torch.Tensor]] = {}
    for name, tensor in list(model.named_parameters(remove_duplicate=False)) + list(model.named_buffers()):
        held.setdefault(_plain(name, adapter_name), []).append(tensor)
    return held


def _plain(name: str, adapter_name: str) -> str:
    pieces = [piece for piece in name.split(".") if piece not in _WRAPPERS and piece != adapter_name]
    return ".".join(pieces)


def _same(held: torch.Tensor, stored: torch.Tensor) -> bool:
    import torch

    if tuple(held.shape) != tuple(stored.shape):
        return False
    return bool(torch.equal(held.detach().to("cpu"), stored.to(held.dtype)))
