"""Everything in an adapter's folder that may tell which environment wrote it. Reads; judges nothing.

Only the named folder is read, checkpoints of the run inside it included, and of the base only its configs. Each file is
bounded; what cannot be read is left out and named in `notes`.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpin.checkpoint.bases import find_base
from envpin.checkpoint.confined import Confined
from envpin.checkpoint.folder import read_folder
from envpin.checkpoint.no_adapter import no_adapter
from envpin.core import json_input
from envpin.core.errors import InputError, NetworkError
from envpin.core.files import open_file
from envpin.infer.pickle_names import archive_names
from envpin.infer.pickle_state import read_state
from envpin.infer.traces import read_card, read_traces
from envpin.infer.trainers import Traces, checkpoint_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.checkpoint.folder import Folder
    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.core.place import OpenRemote, Place
    from envpin.infer.pickle_state import Instance

_STATE_BYTES = 16_000_000
_HEAD_BYTES, _TAIL_BYTES = 1_000_000, 4_000
_IGNORE_MERGES = re.compile(rb'"ignore_merges"\s*:\s*(?:true|false)')
_PAIRS_AT_END = re.compile(rb"\]\s*\]\s*\}\s*\}\s*$")
_TEXTS_AT_END = re.compile(rb'"\s*\]\s*\}\s*\}\s*$')
_EVENTS = re.compile(r"events\.out\.tfevents\.(\d{10})\.")
# The first release of peft; what claims to be older is a clock that was never set.
_FIRST_DAY = dt.date(2023, 1, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerMarks:
    """How tokenizer.json was written. `pairs` is None where it has no merges; `ignore_merges` where it is no BPE."""

    pairs: bool | None
    ignore_merges: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """A training_args.bin: its outermost object, by opcodes, and the names in the zip around it."""

    file: str
    state: Instance
    archive: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """What was found. Documents and cards are pairs of a file's name and what it holds, the run's own first.

    `base_config` is the base's config.json; `day` the day of the newest sign of writing inside the folder, and
    `day_source` where it is from; `notes` say what could not be read.
    """

    traces: Traces
    folder: str = ""
    adapter_config: Mapping[str, Any] | None = None
    configs: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    holds_model: bool = False
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    weight_files: tuple[str, ...] = ()
    tokenizer_config: Mapping[str, Any] | None = None
    tokenizer: TokenizerMarks | None = None
    states: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    arguments: tuple[Arguments, ...] = ()
    cards: tuple[tuple[str, str], ...] = ()
    base_config: Mapping[str, Any] | None = None
    base: str | None = None
    day: dt.date | None = None
    day_source: str = ""
    notes: tuple[str, ...] = ()


def observe(adapter: Place, *, base: str | Place | None = None, open_remote: OpenRemote | None = None) -> Observed:
    """Read an adapter's folder. `base` is a place, or the name of a folder or repository; without it, it is looked for.

    Raises:
        InputError: the folder holds no adapter, or `base` was given and is not there.
    """
    place: Place = Confined(adapter) if isinstance(adapter, Path) else adapter
    folder = read_folder(place)
    if folder.adapter_config is None:
        raise no_adapter(adapter, folder)
    names = frozenset(entry.name for entry in place.iterdir())
    places = [("", place), *_checkpoints(place, names)]
    notes = [f"{fault.file}: {fault.message}" for fault in folder.read_faults]
    base_folder, base_note = _base(folder, adapter, base, open_remote)
    notes += [base_note] if base_note else []
    day, day_source = _day(place, names)
    observed = Observed(
        traces=read_traces(place, names),
        folder=str(adapter),
        adapter_config=folder.adapter_config,
        configs=tuple(
            (name, document)
            for name, document in (
                ("config.json", folder.config),
                ("generation_config.json", folder.generation_config),
            )
            if document is not None
        ),
        holds_model=folder.kind == "both",
        tensors=folder.adapter_tensors,
        weight_files=folder.weight_files,
        tokenizer_config=_document(place / "tokenizer_config.json", notes),
        tokenizer=_tokenizer(place / "tokenizer.json"),
        states=tuple(_states(places, notes)),
        arguments=tuple(_arguments(places)),
        cards=tuple(_cards(places)),
        base_config=base_folder[1] if base_folder else None,
        base=base_folder[0] if base_folder else None,
        day=day,
        day_source=day_source,
        notes=(),
    )
    refused = getattr(place, "refused", [])
    notes += [f"`{name}` leads out of the folder and was not read" for name in refused]
    return _with_notes(observed, notes)


def _with_notes(observed: Observed, notes: Iterable[str]) -> Observed:
    from dataclasses import replace

    return replace(observed, notes=tuple(dict.fromkeys(notes)))


def _checkpoints(place: Place, names: Iterable[str]) -> list[tuple[str, Place]]:
    """The newest checkpoint of the run inside the folder."""
    steps = sorted((step, name) for name in names if (step := checkpoint_step(name)) is not None)
    if not steps or not (place / steps[-1][1]).is_dir():
        return []
    return [(f"{steps[-1][1]}/", place / steps[-1][1])]


def _states(places: Iterable[tuple[str, Place]], notes: list[str]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """The run's own; only where it has none that of its newest checkpoint, which says the same."""
    for prefix, place in places:
        document = _document(place / "trainer_state.json", notes, _STATE_BYTES)
        if document is not None:
            yield f"{prefix}trainer_state.json", document
            return


def _arguments(places: Iterable[tuple[str, Place]]) -> Iterable[Arguments]:
    """As `_states`."""
    for prefix, place in places:
        path = place / "training_args.bin"
        if path.is_file() and (state := read_state(path)) is not None and state.attributes:
            yield Arguments(file=f"{prefix}training_args.bin", state=state, archive=archive_names(path))
            return


def _cards(places: Iterable[tuple[str, Place]]) -> Iterable[tuple[str, str]]:
    for prefix, place in places:
        text = read_card(place / "README.md")
        if text is not None:
            yield f"{prefix}README.md", text


def _document(path: Place, notes: list[str], limit: int = json_input.MAX_BYTES) -> dict[str, Any] | None:
    try:
        if not path.is_file():
            return None
        remarks: list[str] = []
        found = json_input.read_object(path, remarks=remarks, limit=limit)
        notes += [f"{path.name}: {text}" for text in remarks]
        return found
    except (OSError, json_input.BadJsonError) as error:
        notes.append(f"{path.name}: {getattr(error, 'strerror', None) or error}")
        return None


def _tokenizer(path: Place) -> TokenizerMarks | None:
    """From both ends of the file: the model comes last in it, its options before its vocabulary, its merges at the end.

    A vocabulary may have 30 MB, and of a repository on the Hub it would have to be fetched.
    """
    try:
        if not path.is_file():
            return None
        size = path.stat().st_size
        with open_file(path) as stream:
            head = stream.read(_HEAD_BYTES)
            stream.seek(max(0, size - _TAIL_BYTES))
            tail = stream.read(_TAIL_BYTES)
    except (OSError, ValueError):
        return None
    pairs = True if _PAIRS_AT_END.search(tail) else False if _TEXTS_AT_END.search(tail) else None
    bpe = re.search(rb'"type"\s*:\s*"BPE"', head) is not None
    whole = size <= _HEAD_BYTES or b'"vocab"' in head
    ignoring = _IGNORE_MERGES.search(head) is not None
    return TokenizerMarks(pairs=pairs if bpe else None, ignore_merges=ignoring if bpe and (whole or ignoring) else None)


def _base(
    folder: Folder, adapter: Place, given: str | Place | None, open_remote: OpenRemote | None
) -> tuple[tuple[str, Mapping[str, Any]] | None, str | None]:
    """Name and config of the base, or why there is none. A path with `..` that a stranger wrote is not followed."""
    if given is not None and not isinstance(given, str):
        return _base_config(Confined(given) if isinstance(given, Path) else given, str(given))
    named = (folder.adapter_config or {}).get("base_model_name_or_path")
    if given is None and isinstance(named, str) and ".." in re.split(r"[/\\]", named):
        return None, f"the base's path `{named[:100]}` leads upwards and was not followed; name it with --base"
    try:
        from dataclasses import replace

        found = find_base(replace(folder, path=adapter), explicit=given, open_remote=open_remote)
    except (InputError, NetworkError):
        if given is not None:
            raise
        return None, None
    place: Place = Confined(found.path) if found.remote is None else found.remote
    return _base_config(place, found.id or str(found.path))


def _base_config(place: Place, name: str) -> tuple[tuple[str, Mapping[str, Any]] | None, str | None]:
    try:
        return (name, json_input.read_object(place / "config.json")), None
    except (OSError, json_input.BadJsonError) as error:
        return None, f"the base's config.json: {getattr(error, 'strerror', None) or error}"


def _day(place: Place, names: frozenset[str]) -> tuple[dt.date | None, str]:
    """When the run was: as its TensorBoard files say in their names, else when the adapter's files were last written.

    A copy or a download is written later than the run, so that the day is a latest one, and weak in any case.
    """
    today = dt.datetime.now(dt.UTC).date()
    for found in sorted(_event_days(place, names)):
        if _FIRST_DAY <= found <= today:
            return found, "the name of a TensorBoard file"
    if not isinstance(place, Confined):
        return None, ""
    try:
        written = [(place / name).stat().st_mtime for name in ("adapter_config.json",) if (place / name).is_file()]
        day = dt.datetime.fromtimestamp(min(written), dt.UTC).date() if written else None
    except (OSError, OverflowError, ValueError):
        return None, ""
    return (day, "the file's time") if day is not None and _FIRST_DAY <= day < today else (None, "")


def _event_days(place: Place, names: frozenset[str]) -> list[dt.date]:
    found = [match for name in names if (match := _EVENTS.match(name))]
    try:
        runs = sorted((place / "runs").iterdir(), key=lambda one: one.name)[:20] if "runs" in names else []
        for run in runs:
            found += [match for entry in run.iterdir() if (match := _EVENTS.match(entry.name))] if run.is_dir() else []
    except OSError:
        pass
    return [dt.datetime.fromtimestamp(int(match[1]), dt.UTC).date() for match in found]
