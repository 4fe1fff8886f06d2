"""Names of the outputs, and tied tensors: a pair that training took apart gets two tensors and an untied config.

peft's own merge adds the delta of a tied layer to the one tensor that both modules share, so its merged model is not
the model that was trained. Here the partner keeps the base's values (docs/adr/0031-untie-what-training-untied.md).
"""

from __future__ import annotations

import hashlib
from typing import Dict, List, Set, Tuple

from .io.files import StoredTensor, refuse
from .operations import Operation
from .skeleton import Skeleton


def settle_ties(skeleton: Skeleton, operations: List[Operation]) -> Tuple[List[Operation], bool, Dict[str, str]]:
    """Name every output. A tied pair that training took apart gets two tensors; `extra` maps the new tensor's name to
    the state key whose base bytes it holds, where no operation writes it."""
    writers: Dict[str, Operation] = {output.key: one for one in operations for output in one.outputs}
    untied, extra = False, {}  # type: bool, Dict[str, str]
    dropped: Set[str] = set()
    own_name: Dict[str, str] = {}
    for group in skeleton.tied:
        written = [key for key in group if key in writers]
        if not written:
            continue
        stored = next((key for key in group if key in skeleton.names), group[0])
        if _stays_tied(skeleton, group, written, writers):
            dropped |= set(written[1:])
            own_name[written[0]] = skeleton.names[stored].name if stored in skeleton.names else stored
            continue
        if len(group) > 2 and stored in written:
            raise refuse("`%s` is shared by %d modules and trained in one of them only" % (stored, len(group)))
        untied = True
        for key in group if len(group) == 2 else written:
            if key not in skeleton.names:
                own_name[key] = _sibling_name(skeleton, key)
                if key not in writers:
                    extra[own_name[key]] = key
    for one in operations:
        named = [
            (output, _file_names(skeleton, output.key, own_name)) for output in one.outputs if output.key not in dropped
        ]
        one.outputs = [output._replace(name=name) for output, names in named for name in names]
    return operations, untied, extra


def _file_names(skeleton: Skeleton, key: str, own_name: Dict[str, str]) -> List[str]:
    """The tensors that hold a parameter in the files: one, or all that it is fused from."""
    if key in skeleton.fused:
        return [source.name for _, source in skeleton.fused[key].sources]
    if key in own_name:
        return [own_name[key]]
    stored = skeleton.names.get(key)
    return [stored.name if stored is not None else _sibling_name(skeleton, key)]


def _sibling_name(skeleton: Skeleton, key: str) -> str:
    """The name for a tensor that the checkpoint does not store yet: its state key. Loading applies the renaming rules
    to it again, so a key that those would change cannot be written this way."""
    renamed = [
        tensor
        for other, tensor in skeleton.names.items()
        if other.startswith(key.partition(".")[0] + ".") and tensor.name != other
    ]
    if renamed or _lacks_prefix(skeleton):
        raise refuse("the checkpoint renames its tensors, so a new one for `%s` has no certain name" % key)
    return key


def _lacks_prefix(skeleton: Skeleton) -> bool:
    """transformers 4 calls a checkpoint corrupt that holds a head's tensors beside those of a base model without its
    prefix (`encoder.…` instead of `bert.encoder.…`)."""
    inner = skeleton.inner
    if getattr(inner, "_checkpoint_conversion_mapping", None) or hasattr(inner, "_weight_conversions"):
        return False
    prefix = getattr(inner, "base_model_prefix", "") + "."
    return any(key == prefix + tensor.name for key, tensor in skeleton.names.items())


def _stays_tied(skeleton: Skeleton, group: List[str], written: List[str], writers: Dict[str, Operation]) -> bool:
    """Whether the tied tensors still agree after the merge: a shared base parameter was replaced as a whole, or every
    module of the group is written from the same tensors of the adapter."""
    if all(writers[key].kind == "replace" for key in written):
        return len({_content(writers[key], skeleton) for key in written}) == 1
    if len(written) < len(group):
        return False
    if all(writers[key].kind in {"trainable_tokens", "lora-embedding", "lora"} for key in written):
        return len({tuple(writers[key].adapter_tensors) for key in written}) == 1
    if all(writers[key].kind == "modules_to_save" for key in written):
        return len({_content(writers[key], skeleton) for key in written}) == 1
    return False


def _content(one: Operation, skeleton: Skeleton) -> Tuple[str, ...]:
    """Digests of the adapter's tensors behind an operation."""
    return tuple(digest(skeleton.adapter[name]) for name in one.adapter_tensors)


def digest(tensor: StoredTensor) -> str:
    found = hashlib.sha256()
    with open(tensor.path, "rb") as stream:
        stream.seek(tensor.offset)
        left = tensor.size
        while left:
            piece = stream.read(min(left, 1 << 22))
            found.update(piece)
            left -= len(piece)
    return found.hexdigest()
