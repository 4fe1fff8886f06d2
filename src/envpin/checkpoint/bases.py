"""Where the base of an adapter is. Adapters name it by a Hub id or by a path that was true on another machine."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.checkpoint.checkpoint import Checkpoint, open_checkpoint
from envpin.checkpoint.weights import has_weights
from envpin.core.base_places import base_places
from envpin.core.errors import InputError, NetworkError
from envpin.core.files import exists
from envpin.core.hub_cache import cached_identity, commit_of, snapshot_of, snapshots_of, storage_of
from envpin.core.hub_id import is_hub_id, is_revision, parse_hub_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envpin.core.place import OpenRemote, Place, RemotePlace


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundBase:
    """`id` and `commit` are those of the Hub, where known; `found` says in words where it was found.

    A base that is on the Hub only has a `remote` to read it from; `path` is then the folder that its download makes.
    `passed_over` says of each folder that was found first why it is not the base.
    """

    path: Path
    id: str | None
    commit: str | None
    found: str
    checkpoint: Checkpoint = field(compare=False, repr=False)
    remote: RemotePlace | None = None
    passed_over: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """What its headers are read from."""
        return self.path if self.remote is None else self.remote


@dataclass
class _Search:
    """Every place looked at, with what was wrong with it. `adapter` is None for one that is on the Hub."""

    adapter: Path | None
    open_remote: OpenRemote | None
    open_base: Callable[[Place], Checkpoint]
    looked: list[str] = field(default_factory=list)

    def folder(self, path: Path, where: str) -> Path | None:
        try:
            absolute = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would turn a cache's links into blobs
            held = {name for name in ("config.json", "model.safetensors", "model.safetensors.index.json",
                                      "pytorch_model.bin") if (absolute / name).exists()}  # fmt: skip
            if held and not (self.adapter is not None and absolute.samefile(self.adapter)):
                return absolute
            state = "holds no model" if absolute.is_dir() else "is a file" if absolute.exists() else "is not there"
            state = "is the adapter itself" if held else state
        except (OSError, ValueError) as error:
            state = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        line = f"{where}: `{path}` {state}"
        if line not in self.looked:
            self.looked.append(line)
        return None

    def made(self, path: Path, found: str, hub_id: str | None = None) -> FoundBase:
        """A path inside a Hub cache tells its own id and commit; of any other nobody knows which commit it is."""
        hub_id, commit = cached_identity(path) or (hub_id, None)
        return FoundBase(path=path, id=hub_id, commit=commit, found=found, checkpoint=self.open_base(path))

    def opened(self, remote: RemotePlace) -> FoundBase:
        return FoundBase(
            path=remote.local,
            id=remote.id,
            commit=remote.commit,
            found="on the Hub",
            remote=remote,
            checkpoint=self.open_base(remote),
        )


def find_base(
    adapter: Checkpoint,
    *,
    explicit: Path | str | None = None,
    recorded_path: str | None = None,
    recorded_id: str | None = None,
    commit: str | None = None,
    open_remote: OpenRemote | None = None,
    open_base: Callable[[Place], Checkpoint] = open_checkpoint,
    misfit: Callable[[Checkpoint], str | None] = lambda _: None,
) -> FoundBase:
    """The folder of the base model.

    Looks at `explicit` (a folder, or an id in the Hub cache) and nowhere else if it is given; else at the recorded
    path, at `base_model_name_or_path` as a path (a relative one near the adapter first, in the current directory last),
    for a folder of that name beside the adapter, and in the Hub cache at `commit` (else the revision that the adapter
    names, else `main`); at last on the Hub, where `open_remote` can open it. Nothing is downloaded.

    `misfit` says why a model cannot be the adapter's base. Such a one yields to the next that can; where none can, the
    first is the answer. `open_base` opens a folder; who looks at many adapters of one base keeps what it answers.

    Raises:
        InputError: it is in none of these places; `problems` lists each of them.
        NetworkError: the Hub was asked, and does not answer.
    """
    search = _Search(adapter.path if isinstance(adapter.path, Path) else None, open_remote, open_base)
    config = adapter.adapter_config or {}
    named = config.get("base_model_name_or_path")
    named = named if isinstance(named, str) and named.strip() and "\0" not in named else None
    revision = config.get("revision")
    revision = revision if isinstance(revision, str) and is_revision(revision) else None
    hub_id = next((name for name in (recorded_id, named) if name and is_hub_id(name)), None)
    if explicit is not None:
        found = _explicit(search, str(explicit), (recorded_id, commit), revision)
    else:
        found = _first_that_fits(
            _candidates(search, (hub_id, commit, revision), recorded=recorded_path, named=named), misfit
        )
    if found is not None:
        return found
    if not search.looked:
        search.looked.append("the adapter's `base_model_name_or_path` is empty, and nothing else names a base")
    missing = InputError(
        f"the base model of `{adapter.path}` was not found" + (f" (`{named}`)" if named else ""),
        path=str(adapter.path),
        problems=search.looked,
        hint="name its folder with --base"
        if explicit is None
        else "give --base the folder with the base's config.json",
    )
    if explicit is None:
        missing.again = ("--base", "FOLDER")
    raise missing


def _explicit(
    search: _Search, given: str, recorded: tuple[str | None, str | None], revision: str | None
) -> FoundBase | None:
    """`recorded` are id and commit of the manifest: the commit says nothing about a base of another name."""
    named = Path(given).expanduser()
    path = search.folder(named, "given")
    if path is not None:
        return search.made(path, "given")
    if exists(named):  # that is what was meant, as it is to transformers: not a repository of that name
        return None
    reference = parse_hub_reference(given, bare=True)
    if reference is None:
        return None
    commit = recorded[1] if recorded[0] == reference.id else None
    if reference.revision is not None:
        commit, revision = None, reference.revision
    found = _in_cache(search, reference.id, commit, revision)
    if search.open_remote is None or (found is not None and has_weights(found.checkpoint.files)):
        return found
    try:
        return search.opened(search.open_remote(reference.id, commit or revision))
    except (InputError, NetworkError) as error:
        if "/" not in reference.id:
            error.message += f"; and `{given}` is no folder here"
        raise


def _first_that_fits(candidates: Iterator[FoundBase], misfit: Callable[[Checkpoint], str | None]) -> FoundBase | None:
    first: FoundBase | None = None
    passed: list[str] = []
    try:
        for found in candidates:
            reason = misfit(found.checkpoint)
            if reason is None:
                return replace(found, passed_over=tuple(passed)) if passed else found
            first = first or found
            passed.append(f"`{found.place}` ({found.found}) cannot be the base: {reason}")
    except NetworkError:
        if first is None:
            raise
    return first


def _candidates(
    search: _Search, hub: tuple[str | None, str | None, str | None], *, recorded: str | None, named: str | None
) -> Iterator[FoundBase]:
    """Every place that holds a model, each folder once, in the order of trust. `hub` is the base's id, commit, and the
    revision that the adapter names."""
    hub_id, commit, revision = hub
    seen: set[Path] = set()
    for path, where in _paths(search, recorded, named):
        found = search.folder(path, where)
        if found is not None and found not in seen:
            seen.add(found)
            yield search.made(found, where, hub_id)
    if hub_id is not None and (base := _by_id(search, hub_id, commit, revision)) is not None:
        yield base


def _paths(search: _Search, recorded: str | None, named: str | None) -> Iterator[tuple[Path, str]]:
    """Each path to look at, and where it is from in words."""
    if recorded:
        yield Path(recorded), "recorded by the manifest"
    if named is None:
        return
    yield from base_places(named, search.adapter)


def _by_id(search: _Search, hub_id: str, commit: str | None, revision: str | None) -> FoundBase | None:
    """In the Hub cache; on the Hub where the cache has it not, or has it without its weights.

    A single word is asked of the Hub only where the adapter is from there too: folders are called `base` as well.
    """
    cached = _in_cache(search, hub_id, commit, revision)
    if search.open_remote is None or (cached is not None and has_weights(cached.checkpoint.files)):
        return cached
    if "/" not in hub_id and search.adapter is not None:
        return cached
    try:
        return search.opened(search.open_remote(hub_id, commit or revision))
    except InputError as error:
        remedy = f"; {error.hint}" if error.hint else ""
        search.looked.append(f"the Hub: {error.message.partition(chr(10))[0]}{remedy}")
        return cached


def _in_cache(search: _Search, hub_id: str, commit: str | None, revision: str | None) -> FoundBase | None:
    """A snapshot of the Hub cache. With a recorded commit no other one will do: its weights may differ."""
    root = storage_of(hub_id)
    if not root.is_dir():
        search.looked.append(f"the Hub cache: `{root}` is not there")
        return None
    wanted = commit_of(root, revision) if commit is None else commit
    if wanted is None or not is_revision(wanted):
        search.looked.append(f"the Hub cache: `{root}` has no revision `{revision or 'main'}`")
        return None
    path = search.folder(snapshot_of(root, wanted), "the Hub cache")
    if path is None:
        others = [entry.name for entry in snapshots_of(hub_id)][:5]
        if others:
            search.looked.append(f"the Hub cache holds other revisions of `{hub_id}`: {', '.join(others)}")
        return None
    return search.made(path, "in the Hub cache", hub_id)
