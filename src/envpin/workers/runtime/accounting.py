"""Does every tensor of an adapter file sit in the loaded model?

peft loads with `strict=False`: a tensor whose name matches nothing is dropped, and the model silently stays the base.
So its loader is watched at two doors: where it reads the file, and where it hands tensors to torch, which tells which
names the model does not have. A tensor that does not reach the second was taken in between: some methods store indices
or logits in a form of their own, and make other tensors of them or put them into the layers directly.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Set

if TYPE_CHECKING:
    import peft
    import torch

# Words that peft puts into the names of a wrapped model and that its files do not carry.
_WRAPPERS = {"modules_to_save", "base_layer", "token_adapter"}


class Accounted(NamedTuple):
    """The names of an adapter file, sorted by what became of their tensors."""

    matched: List[str]
    renamed: List[str]
    converted: List[str]
    copies: List[str]
    lost: List[str]


class LoadWatch:
    """What peft's loader did with an adapter file: `read` maps the names in the file to tensors, `placed` names in the
    file to keys of the model, `dropped` holds names in the file (or keys that were made of several) that the model
    does not have."""

    def __init__(self) -> None:
        self.read: Dict[str, torch.Tensor] = {}
        self.placed: Dict[str, str] = {}
        self.dropped: Set[str] = set()
        self.keys: Set[str] = set()

    def note(self, state: Dict[str, torch.Tensor], unexpected: Iterable[str]) -> None:
        """A state that was handed to torch, and the keys of it that the model does not have."""
        names = {id(tensor): name for name, tensor in self.read.items()}
        if not any(id(value) in names for value in state.values()) and not self._follows(state):
            return
        unknown = set(unexpected)
        for key, value in state.items():
            name = names.get(id(value))
            if key in unknown:
                self.dropped.add(name or key)
                continue
            self.keys.add(key)
            if name is not None:
                self.placed[name] = key

    def _follows(self, state: Dict[str, torch.Tensor]) -> bool:
        """Whether this may be a state that was made of the file's tensors as a whole."""
        return bool(self.read) and any(key.startswith("base_model.") for key in state)


@contextlib.contextmanager
def watched(watch: LoadWatch) -> Iterator[None]:
    """Watch peft load one adapter file."""
    import torch
    from peft.utils import save_and_load

    read: Optional[Callable[..., Dict[str, torch.Tensor]]] = getattr(save_and_load, "safe_load_file", None)
    fill = torch.nn.Module.load_state_dict

    def safe_load_file(*arguments: object, **options: object) -> Dict[str, torch.Tensor]:
        found = read(*arguments, **options) if read is not None else {}
        watch.read = dict(found)
        return found

    def load_state_dict(
        self: torch.nn.Module, state_dict: Dict[str, torch.Tensor], *arguments: object, **options: object
    ) -> object:
        state = dict(state_dict)
        result = fill(self, state_dict, *arguments, **options)
        watch.note(state, getattr(result, "unexpected_keys", ()))
        return result

    if read is not None:
        save_and_load.safe_load_file = safe_load_file
    torch.nn.Module.load_state_dict = load_state_dict
    try:
        yield
    finally:
        if read is not None:
            save_and_load.safe_load_file = read
        torch.nn.Module.load_state_dict = fill


def account(model: peft.PeftModel, tensors: Dict[str, torch.Tensor], adapter_name: str, watch: LoadWatch) -> Accounted:
    """Sort the tensors of an adapter file into `matched`, `renamed` (under another name in the model), `converted`
    (taken by peft's loader before torch saw them), `copies` and `lost`.

    `copies` repeat what is in place: the untrained originals that peft up to 0.13 stores beside a trained module once
    the vocabulary grew, and projections that all layers share. Neither is ever loaded again.
    `model` is the PeftModel, `tensors` maps each name in the adapter file to its tensor.
    """
    found = Accounted([], [], [], [], [])
    held = _held(model, adapter_name)
    for name in sorted(tensors):
        key = watch.placed.get(name)
        if key is not None:
            plain = _plain(key, adapter_name) == _plain(name, adapter_name)
            (found.matched if plain else found.renamed).append(name)
        elif name not in watch.dropped and watch.read:
            found.converted.append(name)
        elif _is_copy(name, tensors, held, adapter_name):
            found.copies.append(name)
        else:
            found.lost.append(name)
    found.lost.extend(sorted(watch.dropped - set(tensors)))
    return found


def _is_copy(
    name: str, tensors: Dict[str, torch.Tensor], held: Dict[str, List[torch.Tensor]], adapter_name: str
) -> bool:
    if ".original_module." in name and name.replace(".original_module.", ".") in tensors:
        return True
    if any(_same(one, tensors[name]) for one in held.get(_plain(name, adapter_name), [])):
        return True
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("weight", "bias") or bool((tensors[name] == tensors[name].reshape(-1)[:1]).all()):
        return False  # too common a name, or values that any two layers may share
    shared = [one for key, several in held.items() if key.endswith("." + leaf) for one in several]
    return any(_same(one, tensors[name]) for one in shared)


def _held(model: peft.PeftModel, adapter_name: str) -> Dict[str, List[torch.Tensor]]:
    held: Dict[str, List[torch.Tensor]] = {}
    for name, tensor in list(model.named_parameters(remove_duplicate=False)) + list(model.named_buffers()):
        held.setdefault(_plain(name, adapter_name), []).append(tensor)
    return held


def plain_key(key: str, adapter_name: str) -> str:
    """A key of a wrapped model as its unwrapped model has it."""
    plain = _plain(key, adapter_name)
    return plain[len("base_model.model.") :] if plain.startswith("base_model.model.") else plain


def _plain(name: str, adapter_name: str) -> str:
    pieces = [piece for piece in name.split(".") if piece not in _WRAPPERS and piece != adapter_name]
    return ".".join(pieces)


def _same(held: torch.Tensor, stored: torch.Tensor) -> bool:
    import torch

    if tuple(held.shape) != tuple(stored.shape):
        return False
    return bool(torch.equal(held.detach().to("cpu"), stored.to(held.dtype)))
