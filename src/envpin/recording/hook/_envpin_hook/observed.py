"""What the run did with its models and tokenizers so far: loads, resizes, added tokens, trainers.

Everything is kept by weak reference or in a WeakKeyDictionary: a model that the run drops is freed as without us.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, MutableMapping, Optional, Sequence, Tuple

from _envpin_hook import artefacts, guarded, module

if TYPE_CHECKING:
    from transformers import PretrainedConfig, Trainer
    from transformers import PreTrainedModel as Model
    from transformers import PreTrainedTokenizerBase as Tokenizer

# A part of a manifest; which fields it has is said in envpin/manifest/types.py.
Part = Dict[str, Any]

_SNAPSHOT = re.compile(r"[/\\]snapshots[/\\]([0-9a-f]{40})[/\\]")
_BLOB = re.compile(r"^[0-9a-f]{64}$")
# A few texts that tokenizers of different vocabularies, normalizers and added tokens tell apart.
SAMPLES = ("Hello, world!", "  def f(x):\n\treturn x**2", "Füße 12345 日本語 🙂", "<s> </s> <|im_start|>user")

loads: MutableMapping[Model, Part] = weakref.WeakKeyDictionary()  # model -> the `base` part of a manifest
resizes: List[Tuple[weakref.ref[Model], Part]] = []  # (weak model, the resize)
tokenizers: List[Tuple[weakref.ref[Tokenizer], str]] = []  # (weak tokenizer, the name it was loaded by)
added: MutableMapping[Tokenizer, List[str]] = weakref.WeakKeyDictionary()  # tokenizer -> tokens that the run added
places: MutableMapping[Tokenizer, str] = weakref.WeakKeyDictionary()  # tokenizer -> the folder that it was read from
described: Dict[str, Part] = {}  # the name that a tokenizer was loaded by -> what it was, for when it is gone
_described_at: Dict[str, float] = {}
_SECOND = 1.0
trainers: List[weakref.ref[Trainer]] = []
_local = threading.local()


@contextlib.contextmanager
def loading() -> Iterator[List[str]]:
    """Collect the files that transformers resolves while one from_pretrained runs in this thread."""
    outer = getattr(_local, "files", None)
    files: List[str] = []
    _local.files = files
    try:
        yield files
    finally:
        if outer is not None:
            outer.extend(files)
        _local.files = outer


def is_loading() -> bool:
    return getattr(_local, "files", None) is not None


def resolved(result: object) -> None:
    """A result of transformers' `cached_file(s)`: a path, a list of paths, or None."""
    files = getattr(_local, "files", None)
    if files is None or result is None:
        return
    for one in result if isinstance(result, (list, tuple)) else [result]:
        if isinstance(one, (str, os.PathLike)):
            files.append(os.fspath(one))


def note_load(model: Model, source: object, revision: object, files: List[str]) -> None:
    config = getattr(model, "config", None)
    if config is None:
        return
    loads[model] = base_of(model, source, revision, files)


def base_of(model: Model, source: object = None, revision: object = None, files: Sequence[str] = ()) -> Part:
    """The `base` part for a model as it is now. `files` are what its loading resolved, in order."""
    config = model.config
    name = str(source if source is not None else getattr(config, "_name_or_path", "") or "")
    folder = _folder(name, files)
    base: Part = {
        "path": folder,
        "commit": _commit(files) or getattr(config, "_commit_hash", None),
        "revision": str(revision) if revision not in (None, "main") else None,
        "model_type": getattr(config, "model_type", None),
        "architecture": type(model).__name__,
        "tie_word_embeddings": guarded("tie flag", _tied, config),
        "embedding_rows": guarded("embedding rows", rows, model),
        "dtype": guarded("dtype", _dtype, model),
        "quantization": guarded("quantization", _quantization, config),
    }
    if name and not os.path.isabs(name):
        base["id"] = name
    if folder is not None:
        config_file = os.path.join(folder, "config.json")
        if os.path.isfile(config_file) and os.path.getsize(config_file) <= artefacts.CONFIG_LIMIT:
            base["config_sha256"] = guarded("config digest", artefacts.sha256, config_file)
        base["files"] = guarded("base files", _blobs, folder) or {}
        base["stored_quantized"] = guarded("stored quantization", _stored_quantized, config_file)
        base["weights"] = guarded("base weights", artefacts.weight_samples, folder, base["files"]) or {}
    return base


def _folder(name: str, files: Sequence[str]) -> Optional[str]:
    """Where the base lies. An auto class reads the config before it calls the model's from_pretrained, so that often
    only the weights were seen being resolved."""
    configs = [path for path in files if os.path.basename(path) == "config.json"]
    weights = [path for path in files if artefacts.is_weights(os.path.basename(path))]
    if configs or weights:
        return os.path.abspath(os.path.dirname((configs or weights)[-1]))
    return os.path.abspath(name) if os.path.isdir(name) else None


def _commit(files: Sequence[str]) -> Optional[str]:
    """The Hub commit whose files were opened; the weights' where they and the config disagree."""
    found = None
    for path in files:
        matched = _SNAPSHOT.search(path)
        if matched is not None and (found is None or not path.endswith(".json")):
            found = matched.group(1)
    return found


def _stored_quantized(config_file: str) -> Optional[bool]:
    """Whether the weights lie quantized in their files: the config in force may quantize them on loading only."""
    config = artefacts.json_file(config_file)
    return True if config is not None and isinstance(config.get("quantization_config"), dict) else None


def _blobs(folder: str) -> Dict[str, str]:
    """Digests of the weights for nothing: a Hub cache links them to blobs that are named by their sha256."""
    found = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if artefacts.is_weights(name) and os.path.islink(path):
            blob = os.path.basename(os.readlink(path))
            if _BLOB.match(blob):
                found[name] = blob
    return found


def rows(model: Model) -> Optional[int]:
    """Rows of the input embedding; under ZeRO-3, where the tensor here is empty, those of the whole."""
    embedding = model.get_input_embeddings()
    weight = getattr(embedding, "weight", None)
    if weight is None:
        return None
    shape = getattr(weight, "ds_shape", None)
    return int((shape if shape is not None else weight.shape)[0])


def _tied(config: PretrainedConfig) -> Optional[bool]:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    found = getattr(config, "tie_word_embeddings", None)
    if found is None:
        found = getattr(text, "tie_word_embeddings", None)
    return None if found is None else bool(found)


def _dtype(model: Model) -> Optional[str]:
    weight = getattr(model.get_input_embeddings(), "weight", None)
    return None if weight is None else str(weight.dtype).replace("torch.", "")


def _quantization(config: PretrainedConfig) -> Optional[Part]:
    found = getattr(config, "quantization_config", None)
    if found is None:
        return None
    if not isinstance(found, dict):
        found = found.to_dict()
    return {str(key): plain(value) for key, value in found.items()}


def plain(value: object) -> object:
    """`value` as JSON can hold it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    return str(getattr(value, "value", value)).replace("torch.", "")


def note_resize(model: Model, arguments: Dict[str, object], before: Optional[int], after: Optional[int]) -> None:
    resize = {name: plain(value) for name, value in arguments.items()}
    resize.update(rows_before=before, rows_after=after)
    resizes.append((weakref.ref(model), resize))


def resizes_of(model: Model) -> List[Part]:
    """Resizes of this model or of a part of it (some vision-language models hand the call to their language model)."""
    if not resizes:
        return []
    parts = {id(part) for part in model.modules()}
    return [resize for reference, resize in resizes if reference() is not None and id(reference()) in parts]


def tokenizer_place(name: str, files: Sequence[str]) -> Optional[str]:
    """The folder whose files a tokenizer was made of."""
    read = [path for path in files if os.path.basename(path) in artefacts.TOKENIZER_FILES]
    if read:
        return os.path.abspath(os.path.dirname(read[-1]))
    return os.path.abspath(name) if os.path.isdir(name) else None


def place_of(tokenizer: Optional[Tokenizer]) -> Optional[str]:
    return places.get(tokenizer) if tokenizer is not None else None


def note_tokenizer(tokenizer: Tokenizer, source: object, place: Optional[str] = None) -> None:
    tokenizers.append((weakref.ref(tokenizer), str(source)))
    if place is not None:
        places[tokenizer] = place
    _describe_now(tokenizer, str(source))


def note_added(tokenizer: Tokenizer, tokens: object) -> None:
    if is_loading():
        return  # a tokenizer adds its own special tokens while it is loaded
    known = added.setdefault(tokenizer, [])
    for token in tokens if isinstance(tokens, (list, tuple)) else [tokens]:
        text = str(getattr(token, "content", token))
        if text not in known:
            known.append(text)
    for one, source in tokenizers:
        if one() is tokenizer:
            _describe_now(tokenizer, source)


def _describe_now(tokenizer: Tokenizer, source: str) -> None:
    """Keep what it is, once a second: a script may add ten thousand tokens one by one. In between nothing is known."""
    described.pop(source, None)
    if time.monotonic() - _described_at.get(source, -_SECOND) >= _SECOND:
        _described_at[source] = time.monotonic()
        described[source] = dict(describe_tokenizer(tokenizer), place=place_of(tokenizer))


def tokenizer_for(base: Part, trainer: Optional[Trainer]) -> Optional[Tokenizer]:
    """The tokenizer of the trainer; else the last one loaded by the base's name; else the only one alive; else None."""
    for name in ("processing_class", "tokenizer"):
        found = trainer.__dict__.get(name) if trainer is not None else None
        if found is not None:
            found = getattr(found, "tokenizer", found)  # a processor holds its tokenizer
            if hasattr(found, "get_added_vocab"):
                return found
    alive = [(one(), source) for one, source in tokenizers if one() is not None]
    names = {base.get("id"), base.get("path")}
    for tokenizer, source in reversed(alive):
        if source in names or os.path.abspath(source) in names:
            return tokenizer
    return alive[0][0] if len({id(one) for one, _ in alive}) == 1 else None


def gone_tokenizer(base: Part) -> Optional[Part]:
    """What the tokenizer was that was loaded by the base's name: a script may drop it once its rows are tokenized."""
    names = {base.get("id"), base.get("path")}
    found = [one for source, one in described.items() if source in names or os.path.abspath(source) in names]
    return dict(found[-1]) if found else None


def describe_tokenizer(tokenizer: Tokenizer) -> Part:
    template = getattr(tokenizer, "chat_template", None)
    return {
        "class_name": type(tokenizer).__name__,
        "length": guarded("tokenizer length", len, tokenizer),
        "added": guarded("added tokens", lambda: {str(k): int(v) for k, v in tokenizer.get_added_vocab().items()})
        or {},
        "added_in_run": list(added.get(tokenizer, [])),
        "chat_template_sha256": guarded("chat template", _template_digest, template) if template else None,
        "samples": guarded("token samples", _samples, tokenizer) or [],
    }


def _template_digest(template: object) -> str:
    import hashlib
    import json

    text = template if isinstance(template, str) else json.dumps(template, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _samples(tokenizer: Tokenizer) -> List[Part]:
    """Ids of the fixed texts. A fast tokenizer is asked at its backend, one text at a time: calling it would change its
    padding and mark the process as having used parallelism, which makes a later fork print a warning."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    found = []
    for text in SAMPLES:
        if backend is not None and hasattr(backend, "encode"):
            encoding = backend.encode(text, add_special_tokens=False)
            ids = [one for one, real in zip(encoding.ids, encoding.attention_mask) if real]  # noqa: B905  3.10
        else:
            ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
        found.append({"text": text, "ids": [int(one) for one in ids]})
    return found


def note_trainer(trainer: Trainer) -> None:
    trainers.append(weakref.ref(trainer))


def trainer_of(model: Model) -> Optional[Trainer]:
    """The last trainer alive that holds this model, whole or in part; None where none does: a base that is saved next
    to a training was not trained."""
    alive = [one() for one in trainers if one() is not None]
    for trainer in reversed(alive):
        if getattr(trainer, "model", None) is model:
            return trainer
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    for trainer in reversed(alive):
        held = getattr(trainer, "model", None)
        if held is not None and (_has_part(held, bare) or _has_part(model, held)):
            return trainer
    return None


def _has_part(whole: Any, part: Any) -> bool:
    return any(one is part for one in whole.modules())


def describe_trainer(trainer: Trainer) -> Part:
    kind = type(trainer)
    arguments = getattr(trainer, "args", None)
    state = getattr(trainer, "state", None)
    package = next((one.__module__.split(".")[0] for one in kind.__mro__ if one.__module__ != "__main__"), None)
    return {
        "class_name": kind.__module__ + "." + kind.__qualname__,
        "package": package,
        "package_version": getattr(module(package), "__version__", None) if package else None,
        "seed": getattr(arguments, "seed", None),
        "data_seed": getattr(arguments, "data_seed", None),
        "global_step": getattr(state, "global_step", None),
    }
