"""Everything in an adapter's folder that may tell which environment wrote it. Reads; judges nothing.

Only the named folder is read, checkpoints of the run inside it included, and of the base only its configs. Each file is
bounded; what cannot be read is left out and named in `notes`.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from envpin.checkpoint.bases import find_base
from envpin.checkpoint.checkpoint import Checkpoint, open_checkpoint
from envpin.checkpoint.no_adapter import require_adapter
from envpin.checkpoint.own_code import runs_own_code
from envpin.core import json_input
from envpin.core.errors import InputError, NetworkError
from envpin.core.files import read_head
from envpin.core.stand_ins import stand_in
from envpin.inference.beside import Listed, read_beside
from envpin.inference.pickle_names import archive_names
from envpin.inference.pickle_state import read_state
from envpin.inference.traces import read_card, read_traces
from envpin.inference.trackers import mlflow_above, run_days
from envpin.inference.trainers import Traces, checkpoint_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.checkpoint.formats.tokenizer import TokenizerMarks
    from envpin.checkpoint.read_once import ReadOnce
    from envpin.core.adapter_format import ForeignFormat
    from envpin.core.place import OpenRemote, Place
    from envpin.inference.pickle_state import Instance

# trainer_state.json grows with every logged step; a run of days has some MB.
_STATE_BYTES = 16_000_000
_EVENTS = re.compile(r"events\.out\.tfevents\.(\d{10})\.")
# The first release of peft; what claims to be older is a clock that was never set.
_FIRST_DAY = dt.date(2023, 1, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """A training_args.bin: its outermost object, by opcodes, and the names in the zip around it."""

    file: str
    state: Instance
    archive: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """What was found. Documents and cards are pairs of a file's name and what it holds, the run's own first.

    `listed` are versions in lists of packages, `base_config` is the base's config.json,
    `base_runs_code` whether its classes may be its own code's; `day` the day of the newest
    sign of writing inside the folder, and `day_source` where it is from; `notes` say what could not be read.
    `foreign` is the adapter's format where it is not peft's.
    """

    traces: Traces
    folder: str = ""
    adapter_config: Mapping[str, object] | None = None
    configs: tuple[tuple[str, Mapping[str, object]], ...] = ()
    holds_model: bool = False
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    weight_files: tuple[str, ...] = ()
    tokenizer_config: Mapping[str, object] | None = None
    tokenizer: TokenizerMarks | None = None
    states: tuple[tuple[str, Mapping[str, object]], ...] = ()
    arguments: tuple[Arguments, ...] = ()
    cards: tuple[tuple[str, str], ...] = ()
    listed: tuple[Listed, ...] = ()
    base_config: Mapping[str, object] | None = None
    base_runs_code: bool = False
    base: str | None = None
    day: dt.date | None = None
    day_source: str = ""
    foreign: ForeignFormat | None = None
    notes: tuple[str, ...] = ()


def observe(
    adapter: Place | Checkpoint,
    *,
    base: str | Place | Checkpoint | None = None,
    open_remote: OpenRemote | None = None,
    search: bool = True,
    models: bool = False,
) -> Observed:
    """Read an adapter, or a whole model where `models` allows that. `base` is a checkpoint, a place, or the name of a
    folder or repository; without it, it is looked for where `search` allows that.

    Raises:
        InputError: the folder holds neither, or `base` was given and is not there.
    """
    folder = open_checkpoint(adapter, confined=True)
    if not (models and folder.kind == "model"):
        folder = require_adapter(folder, any_format=True)
    place = folder.inside
    names = frozenset(entry.name for entry in place.iterdir())
    places = [("", place), *_checkpoints(place, names)]
    notes = [f"{fault.file}: {fault.message}" for fault in folder.read_faults]
    base_folder, base_note = _base(folder, base, open_remote) if search or base is not None else (None, None)
    notes += [base_note] if base_note else []
    day, day_source = _day(place, names)
    documents = {"config.json": folder.config, "adapter_config.json": folder.adapter_config}
    observed = Observed(
        traces=read_traces(place, names, {name: one for name, one in documents.items() if name in names}),
        folder=str(folder.path),
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
        tokenizer=folder.tokenizer_marks,
        states=tuple(_states(places, notes)),
        arguments=tuple(_arguments(places, notes)),
        cards=tuple(_cards(places)),
        listed=(*read_beside(place, names), *_listed_above(folder)),
        base_config=base_folder[1] if base_folder else None,
        base_runs_code=base_folder is not None and base_folder[2],
        base=base_folder[0] if base_folder else None,
        day=day,
        day_source=day_source,
        foreign=folder.foreign,
    )
    notes += [f"`{name}` leads out of the folder and was not read" for name in place.refused]
    return replace(observed, notes=tuple(dict.fromkeys(notes)))


def _checkpoints(place: Place, names: Iterable[str]) -> list[tuple[str, Place]]:
    """The newest checkpoint of the run inside the folder."""
    steps = sorted((step, name) for name in names if (step := checkpoint_step(name)) is not None)
    if not steps or not (place / steps[-1][1]).is_dir():
        return []
    return [(f"{steps[-1][1]}/", place / steps[-1][1])]


def _states(places: Iterable[tuple[str, Place]], notes: list[str]) -> Iterable[tuple[str, Mapping[str, object]]]:
    """The run's own; only where it has none that of its newest checkpoint, which says the same."""
    for prefix, place in places:
        document = _document(place / "trainer_state.json", notes, _STATE_BYTES)
        if document is not None:
            yield f"{prefix}trainer_state.json", document
            return


def _arguments(places: Iterable[tuple[str, Place]], notes: list[str]) -> Iterable[Arguments]:
    """As `_states`."""
    for prefix, place in places:
        path = place / "training_args.bin"
        if not path.is_file():
            continue
        if (state := read_state(path)) is not None and state.attributes:
            yield Arguments(file=f"{prefix}training_args.bin", state=state, archive=archive_names(path))
            return
        notes.append(f"{prefix}training_args.bin: {_instead(path)}")


def _instead(path: Place) -> str:
    """What lies where a pickle of arguments should."""
    try:
        start = read_head(path, 512)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not start:
        return "empty (0 bytes)"
    found = stand_in(start)
    return "cut, or no arguments that `torch.save` wrote" if found is None else f"{found.words}, not the file"


def _cards(places: Iterable[tuple[str, Place]]) -> Iterable[tuple[str, str]]:
    for prefix, place in places:
        text = read_card(place / "README.md")
        if text is not None:
            yield f"{prefix}README.md", text


def _document(path: Place, notes: list[str], limit: int = json_input.MAX_BYTES) -> dict[str, object] | None:
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


def _base(
    folder: Checkpoint, given: str | Place | Checkpoint | None, open_remote: OpenRemote | None
) -> tuple[tuple[str, Mapping[str, object], bool] | None, str | None]:
    """Name and config of the base and whether its own code may run, or why there is none. A path with `..` that a
    stranger wrote is not followed."""
    if given is not None and not isinstance(given, str):
        base = open_checkpoint(given, confined=True)
        return _base_config(base, str(base.path))
    named = (folder.adapter_config or {}).get("base_model_name_or_path")
    if given is None and isinstance(named, str) and ".." in re.split(r"[/\\]", named):
        return None, f"the base's path `{named[:100]}` leads upwards and was not followed; name it with --base"
    try:
        found = find_base(folder, explicit=given, open_remote=open_remote, open_base=_confined)
    except (InputError, NetworkError):
        if given is not None:
            raise
        return None, None
    return _base_config(found.checkpoint, found.id or str(found.path))


def _confined(place: Place) -> Checkpoint:
    return open_checkpoint(place, confined=True)


def _base_config(base: Checkpoint, name: str) -> tuple[tuple[str, Mapping[str, object], bool] | None, str | None]:
    if base.config is not None:
        return (name, base.config, runs_own_code(base)), None
    fault = next((one for one in base.config_faults if one.file == "config.json"), None)
    return None, f"the base's config.json: {fault.message}" if fault is not None else "the base has no config.json"


def _listed_above(folder: Checkpoint) -> Iterable[Listed]:
    """What MLflow lists in its own folder, where the adapter's is the one inside it."""
    above = mlflow_above(folder.path)
    if above is None:
        return ()
    names = frozenset(entry.name for entry in above.iterdir())
    return [one._replace(file=f"../{one.file}") for one in read_beside(above, names)]


def _day(place: ReadOnce, names: frozenset[str]) -> tuple[dt.date | None, str]:
    """When the run was: as TensorBoard's or a tracker's files say, else when the adapter's were last written.

    A copy or a download is written later than the run, so that the day is a latest one, and weak in any case.
    """
    today = dt.datetime.now(dt.UTC).date()
    for found in sorted(_event_days(place, names)):
        if _FIRST_DAY <= found <= today:
            return found, "the name of a TensorBoard file"
    for found, file in sorted(run_days(place, names), reverse=True):
        if _FIRST_DAY <= found <= today:
            return found, file
    if not place.is_local:
        return None, ""
    try:
        written = [(place / name).modified for name in ("adapter_config.json",) if (place / name).is_file()]
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
