"""What experiment trackers leave next to an adapter: W&B's folder of a run, and MLflow's folder of a model.

Written during the run, by the run's own interpreter: its versions are strong signals, its start is a latest day.
MLflow puts the adapter into a folder `peft` below its own files, so the folder above is read in that one case.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from envpin.checkpoint.confined import Confined
from envpin.core import json_input
from envpin.core.text_input import read_beginning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.core.place import Place

_BYTES = 2_000_000
RUNS = 4
# `run-20240902_101112-ab12cd34`, `offline-run-20240902_101112-ab12cd34`: the day on which the run began.
RUN = re.compile(r"(?:offline-)?run-(\d{8})_\d{6}-\w")
# W&B's config.yaml: `huggingface_version: 4.44.2` in the older form, and the number of its field in the later one.
_HUGGINGFACE = re.compile(
    r"^[ \t]+(?:huggingface_version|[\"']?6[\"']?):[ \t]*[\"']?(\d+\.\d+[\w.]*)[\"']?[ \t]*$", re.MULTILINE
)
_PYTHON = re.compile(r"^[ \t]+(?:python_version|[\"']?4[\"']?):[ \t]*[\"']?(3\.\d+[\w.+]*)[\"']?[ \t]*$", re.MULTILINE)
_STARTED = re.compile(r"(\d{4}-\d{2}-\d{2})[T ]")
# MLmodel is YAML that MLflow writes key by key; only these lines are looked for, and that of `python_version`.
_ML_TRANSFORMERS = re.compile(r"^[ \t]+transformers_version:[ \t]*[\"']?(\d+\.\d+[\w.]*)[\"']?[ \t]*$", re.MULTILINE)
_ML_PYTHON = re.compile(r"^[ \t]+python_version:[ \t]*[\"']?(3\.\d+[\w.+]*)[\"']?[ \t]*$", re.MULTILINE)
_ENV_PYTHON = re.compile(r"^python:[ \t]*[\"']?(3\.\d+[\w.+]*)[\"']?[ \t]*$", re.MULTILINE)
_ML_CREATED = re.compile(r"^utc_time_created:[ \t]*[\"']?(\d{4}-\d{2}-\d{2})[ T]", re.MULTILINE)


class Tracked(NamedTuple):
    """A version of transformers, or of Python, that a tracker wrote."""

    file: str
    package: str
    version: str


def mlflow_above(folder: Path | object) -> Confined | None:
    """The folder of MLflow that an adapter's folder `peft` lies in."""
    if not isinstance(folder, Path) or folder.name != "peft":
        return None
    above = Confined(folder.absolute().parent)
    return above if (above / "MLmodel").is_file() else None


def tracked_versions(place: Place, names: frozenset[str]) -> Iterator[Tracked]:
    """The transformers and the Python of MLflow's folder, and of the last of W&B's runs that tells each."""
    yield from _mlflow(place, names)
    for package, pattern in (("transformers", _HUGGINGFACE), ("python", _PYTHON)):
        for file, path in wandb_files(place, names, "config.yaml"):
            if (found := pattern.search(_text(path))) is not None:
                yield Tracked(file, package, found[1])
                break
    for file, path in wandb_files(place, names, "wandb-metadata.json"):
        if isinstance(python := _document(path).get("python"), str):
            yield Tracked(file, "python", python)
            break


def _mlflow(place: Place, names: frozenset[str]) -> Iterator[Tracked]:
    if "MLmodel" not in names:
        return
    model = _text(place / "MLmodel")
    for package, pattern in (("transformers", _ML_TRANSFORMERS), ("python", _ML_PYTHON)):
        if (found := pattern.search(model)) is not None:
            yield Tracked("MLmodel", package, found[1])
    if (found := _ENV_PYTHON.search(_text(place / "python_env.yaml"))) is not None:
        yield Tracked("python_env.yaml", "python", found[1])


def run_days(place: Place, names: frozenset[str]) -> list[tuple[dt.date, str]]:
    """Days on which a run began or a model was logged, each with the file that says so."""
    found = []
    if "MLmodel" in names and (created := _ML_CREATED.search(_text(place / "MLmodel"))) is not None:
        found.append((created[1], "MLmodel"))
    for file, path in wandb_files(place, names, "wandb-metadata.json"):
        started = _document(path).get("startedAt")
        if isinstance(started, str) and (began := _STARTED.match(started)) is not None:
            found.append((began[1], file))
    found += [
        (f"{one[1][:4]}-{one[1][4:6]}-{one[1][6:]}", f"wandb/{one.string}")
        for one in map(RUN.match, _runs(place, names))
        if one
    ]
    return [(day, file) for text, file in found if (day := _day(text)) is not None]


def wandb_files(place: Place, names: frozenset[str], name: str) -> Iterator[tuple[str, Place]]:
    """That file of the newest runs, the last one first, and the one that lies next to the adapter itself."""
    if name in names and name.startswith("wandb-"):
        yield name, place / name
    for run in _runs(place, names)[-RUNS:][::-1]:
        yield f"wandb/{run}/files/{name}", place / "wandb" / run / "files" / name


def _runs(place: Place, names: frozenset[str]) -> list[str]:
    if "wandb" not in names:
        return []
    try:
        return sorted(one.name for one in (place / "wandb").iterdir() if one.name.startswith(("run-", "offline-run-")))
    except OSError:
        return []


def _text(path: Place) -> str:
    try:
        return read_beginning(path, _BYTES) if path.is_file() else ""
    except OSError:
        return ""


def _document(path: Place) -> dict[str, object]:
    try:
        return json_input.read_object(path, limit=_BYTES) if path.is_file() else {}
    except (OSError, json_input.BadJsonError):
        return {}


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None
