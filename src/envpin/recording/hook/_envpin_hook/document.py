"""Compose envpin.json after a save, and write it beside what was saved."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Dict, List, Optional

import _envpin_hook
from _envpin_hook import (
    FILE_NAME,
    append,
    artefacts,
    conda,
    faults,
    guarded,
    module,
    observed,
    redaction,
    source,
    surroundings,
    trackers,
    training,
)
from _envpin_hook.trace import plain_numbers

if TYPE_CHECKING:
    from transformers import PreTrainedModel as Model
    from transformers import PreTrainedTokenizerBase as Tokenizer
    from transformers import Trainer

    from _envpin_hook.observed import Part

SCHEMA = 2
# The parts of a record whose texts the run or its user chose; the others hold names, shapes and digests.
_FREE_TEXT = ("run", "base", "trainer", "faults", "code")  # distributions come without secrets
# Of the training, those alone: tensors are named like keys, and have digests that look drawn.
_FREE_TEXT_OF_TRAINING = ("arguments", "datasets", "dataset", "output", "resumed_from", "optimizer", "loader")

_written: Dict[str, Part] = {}  # folder -> the manifest that this process wrote there
_tokenizer_saves: Dict[str, Part] = {}


def after_model_save(
    model: Model,
    kind: str,
    folder: str,
    *,
    tokenizer: Optional[Tokenizer] = None,
    trainer: Optional[Trainer] = None,
    limit: Optional[int] = -1,
) -> Optional[str]:
    """Write the manifest of one save; its path, or None where another rank has written it.

    `limit` is how many bytes may be read for digests: None for all, by default what a run can spare.
    """
    began = time.perf_counter()
    folder = os.path.abspath(folder)
    if _left_to_rank_zero(folder):
        return None
    trainer = trainer if trainer is not None else observed.trainer_of(model)
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    base = guarded("base", _base, bare, model) or {}
    if tokenizer is None and folder not in _tokenizer_saves:
        tokenizer = guarded("finding the tokenizer", observed.tokenizer_for, base, trainer)
    document: Part = {
        "schema": SCHEMA,
        "envpin": _run_facts().get("envpin"),
        "run": _run(),
        "python": guarded("python", surroundings.python),
        "distributions": guarded("distributions", surroundings.distributions) or [],
        "conda": guarded("conda", conda.packages) or None,
        "torch": guarded("torch", surroundings.torch),
        "base": base,
        "tokenizer": _tokenizer_saves.get(folder) or _loaded_tokenizer(tokenizer, base),
        "resizes": guarded("resizes", observed.resizes_of, bare) or [],
        "saved": guarded(
            "saved files", artefacts.saved, folder, kind, artefacts.DIGEST_IN_RUN if limit == -1 else limit
        )
        or {"kind": kind},
        "trainer": guarded("trainer", observed.describe_trainer, trainer) if trainer is not None else None,
        "code": guarded("code", source.code),
        "training": guarded("training", training.describe, trainer, folder) if trainer is not None else None,
    }
    path = _write(folder, document)
    status = os.stat(folder)
    line = {"folder": folder, "device": status.st_dev, "inode": status.st_ino, "kind": kind,
            "rank": surroundings.rank(), "seconds": round(time.perf_counter() - began, 4)}  # fmt: skip
    guarded("listing the save", append, "saves", json.dumps(line))
    guarded("logging to trackers", trackers.log, path)
    return path


def begun(trainer: Trainer, model: Model) -> None:
    """Tell `envpin record`, before the first step, what could keep the run from being repeated: a manifest of what is
    known by now, in the run's folder."""
    if _envpin_hook.run_folder is None:
        return
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    found: Part = {
        "schema": SCHEMA,
        "envpin": _run_facts().get("envpin"),
        "run": _run(),
        "python": guarded("python", surroundings.python),
        "distributions": guarded("distributions", surroundings.distributions) or [],
        "torch": guarded("torch", surroundings.torch),
        "base": guarded("base", _base, bare, model) or {},
        "code": guarded("code", source.script),
        "training": guarded("training", training.describe, trainer, None),
    }
    _redact(found)
    path = os.path.join(_envpin_hook.run_folder, "begun-%d" % os.getpid())
    with open(path, "w", encoding="utf-8", errors="replace") as stream:
        stream.write(render(found))
    os.rename(path, path + ".json")  # whole, or not there


def after_tokenizer_save(tokenizer: Tokenizer, folder: str) -> None:
    """Remember the tokenizer for a model saved here later, or add it to the manifest of one that was saved before."""
    folder = os.path.abspath(folder)
    described = observed.describe_tokenizer(tokenizer)
    described["source"] = "saved"
    described["files"] = artefacts.tokenizer_files(folder, artefacts.DIGEST_IN_RUN)
    _tokenizer_saves[folder] = described
    document = _written.get(folder)
    if document is not None and os.path.isfile(os.path.join(folder, FILE_NAME)):
        document["tokenizer"] = described
        _write(folder, document)


def _loaded_tokenizer(tokenizer: Optional[Tokenizer], base: Part) -> Optional[Part]:
    if tokenizer is not None:
        described = guarded("tokenizer", observed.describe_tokenizer, tokenizer)
    else:
        described = guarded("tokenizer", observed.gone_tokenizer, base)
    if described is not None:
        described["source"] = "loaded"
        place = described.pop("place", None) or observed.place_of(tokenizer)
        if place is not None:
            described["files"] = guarded("tokenizer files", artefacts.tokenizer_files, place, artefacts.DIGEST_IN_RUN)
    return described


def _base(bare: Model, model: Model) -> Part:
    known = observed.loads.get(bare)
    if known is None:
        # Loaded by something that we do not watch: what the model itself says, with the rows of before any resize.
        known = observed.base_of(bare)
        known.pop("files", None)
        known.pop("weights", None)
        resized = observed.resizes_of(bare)
        if resized:
            known["embedding_rows"] = resized[0]["rows_before"]
        known["observed"] = "at-save"
    if not known.get("id"):
        adapters = getattr(model, "peft_config", None) or {}
        names = [getattr(one, "base_model_name_or_path", None) for one in adapters.values()]
        named = [str(name) for name in names if name and not os.path.isabs(str(name))]
        if named:
            known = dict(known, id=named[0])
    return dict(known)


def _left_to_rank_zero(folder: str) -> bool:
    """Every rank of some scripts saves to one folder: the manifest there is rank 0's."""
    path = os.path.join(folder, FILE_NAME)
    if surroundings.rank() == 0 or not os.path.isfile(path):
        return False
    with open(path, encoding="utf-8") as stream:
        other = json.load(stream)
    mine = _run_facts().get("id")
    return mine is not None and (other.get("run") or {}).get("id") == mine


def _run_facts() -> Part:
    """What `envpin record` wrote down before the run began: its id, argv, git commit."""
    if _envpin_hook.run_folder is None:
        return {}
    found = guarded("reading run.json", artefacts.json_file, os.path.join(_envpin_hook.run_folder, "run.json"))
    return found or {}


def _run() -> Part:
    facts = _run_facts()
    run: Part = {"argv": redaction.arguments(sys.argv)}
    run.update(facts.get("run") or {})
    run["id"] = facts.get("id")
    run["process_argv"] = redaction.arguments(getattr(sys, "orig_argv", sys.argv))
    run["saved"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    run["world_size"] = guarded("world size", _world_size)
    run["environment"] = surroundings.environment()
    run["seeds"] = guarded("seeds", _seeds) or {}
    return run


def _world_size() -> Optional[int]:
    distributed = module("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_world_size())
    value = os.environ.get("WORLD_SIZE", "")
    return int(value) if value.isdigit() else 1


def _seeds() -> Dict[str, int]:
    torch = module("torch")
    return {} if torch is None else {"torch": int(torch.initial_seed())}


def _write(folder: str, document: Part) -> str:
    """Write and rename. No fsync: it would flush the model that was just saved beside it, gigabytes, inside the run;
    `envpin record` syncs the manifest when the run is over."""
    if faults:
        document["faults"] = list(faults)
    _redact(document)
    path = os.path.join(folder, FILE_NAME)
    guarded("clearing", _remove_unfinished, folder)
    temporary = os.path.join(folder, ".%s.%d.tmp" % (FILE_NAME, os.getpid()))
    try:
        with open(temporary, "w", encoding="utf-8", errors="replace") as stream:  # a file name may be no text
            stream.write(render(document))
        os.replace(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    _written[folder] = document
    return path


def _redact(document: Part) -> None:
    """The one door of secrets: take them out of whatever texts the run or its user chose."""
    for part in _FREE_TEXT:
        if part in document:
            document[part] = redaction.document(document[part])
    training_part = document.get("training") or {}
    for part in _FREE_TEXT_OF_TRAINING:
        if part in training_part:
            training_part[part] = redaction.document(training_part[part], part)
    config = document.get("saved", {}).get("config")
    if config:
        document["saved"]["config"] = redaction.document(config)


def _remove_unfinished(folder: str) -> None:
    """What a run that was killed while it wrote has left here."""
    if os.name == "nt":
        return  # there, asking whether a process lives would end it
    start, end = ".%s." % FILE_NAME, ".tmp"
    for name in os.listdir(folder):
        number = name[len(start) : -len(end)]
        if name.startswith(start) and name.endswith(end) and number.isdigit() and int(number) < 1 << 31:
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                os.unlink(os.path.join(folder, name))
            except OSError:
                pass  # it lives, and is somebody else's


def render(document: Part) -> str:
    """JSON that a person can read and the C encoder makes: a line for each element of a list and field of a part."""
    parts: List[str] = []
    for key, value in document.items():
        if value is None or value in ([], {}):
            continue
        parts.append(json.dumps(key) + ": " + _part(plain_numbers(value)))
    return "{\n  " + ",\n  ".join(parts) + "\n}\n"


def _part(value: object) -> str:
    if isinstance(value, dict):
        lines = [
            json.dumps(key) + ": " + json.dumps(one, ensure_ascii=False)
            for key, one in value.items()
            if one is not None and one not in ([], {})
        ]
        return "{\n    " + ",\n    ".join(lines) + "\n  }"
    if isinstance(value, list):
        return "[\n    " + ",\n    ".join(json.dumps(_known(one), ensure_ascii=False) for one in value) + "\n  ]"
    return json.dumps(value, ensure_ascii=False)


def _known(value: object) -> object:
    return {key: one for key, one in value.items() if one is not None} if isinstance(value, dict) else value
