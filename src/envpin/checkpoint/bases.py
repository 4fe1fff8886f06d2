"""Where the base of an adapter is. Adapters name it by a Hub id or by a path that was true on another machine."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.checkpoint.weights import has_weights
from envpin.core.base_places import base_places
from envpin.core.errors import InputError
from envpin.core.hub_cache import cached_identity, commit_of, snapshot_of, snapshots_of, storage_of
from envpin.core.hub_id import is_hub_id, is_revision, parse_hub_reference

if TYPE_CHECKING:
    from envpin.checkpoint.folder import Folder
    from envpin.core.place import OpenRemote, Place, RemotePlace


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundBase:
    """`id` and `commit` are those of the Hub, where known; `found` says in words where it was found.

    A base that is on the Hub only has a `remote` to read it from; `path` is then the folder that its download makes.
    """

    path: Path
    id: str | None
    commit: str | None
    found: str
    remote: RemotePlace | None = None

    @property
    def place(self) -> Place:
        """What its headers are read from."""
        return self.path if self.remote is None else self.remote


@dataclass
class _Search:
    """Every place looked at, with what was wrong with it. `adapter` is None for one that is on the Hub."""

    adapter: Path | None
    open_remote: OpenRemote | None = None
    looked: list[str] = field(default_factory=list)

    def folder(self, path: Path, where: str) -> Path | None:
        try:
            absolute = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would turn a cache's links into blobs
            held = {name for name in ("config.json", "model.safetensors", "model.safetensors.index.json",
                                      "pytorch_model.bin") if (absolute / name).exists()}  # fmt: skip
            if held and not (self.adapter is not None and absolute.samefile(self.adapter)):
                return absolute
            state = "is the adapter itself" if held else "holds no model" if absolute.is_dir() else "is not there"
        except (OSError, ValueError) as error:
            state = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        line = f"{where}: `{path}` {state}"
        if line not in self.looked:
            self.looked.append(line)
        return None


def find_base(
    adapter: Folder,
    *,
    explicit: Path | str | None = None,
    recorded_path: str | None = None,
    recorded_id: str | None = None,
    commit: str | None = None,
    open_remote: OpenRemote | None = None,
) -> FoundBase:
    """The folder of the base model.

    Looks at `explicit` (a folder, or an id in the Hub cache) and nowhere else if it is given; else at the recorded
    path, at `base_model_name_or_path` as a path, for a folder of that name beside the adapter, and in the Hub cache at
    `commit` (else the revision that the adapter names, else `main`); at last on the Hub, where `open_remote` can open
    it. Nothing is downloaded.

    Raises:
        InputError: it is in none of these places; `problems` lists each of them.
        NetworkError: the Hub was asked, and does not answer.
    """
    search = _Search(adapter.path if isinstance(adapter.path, Path) else None, open_remote)
    config = adapter.adapter_config or {}
    named = config.get("base_model_name_or_path")
    named = named if isinstance(named, str) and named.strip() and "\0" not in named else None
    revision = config.get("revision")
    revision = revision if isinstance(revision, str) and is_revision(revision) else None
    hub_id = next((name for name in (recorded_id, named) if name and is_hub_id(name)), None)
    if explicit is not None:
        found = _explicit(search, str(explicit), (recorded_id, commit), revision)
    else:
        found = _by_path(search, recorded_path, named, hub_id, commit)
        if found is None and hub_id is not None:
            found = _by_id(search, hub_id, commit, revision)
    if found is not None:
        return found
    if not search.looked:
        search.looked.append("the adapter's `base_model_name_or_path` is empty, and nothing else names a base")
    raise InputError(
        f"the base model of `{adapter.path}` was not found" + (f" (`{named}`)" if named else ""),
        path=str(adapter.path),
        problems=search.looked,
        hint=f"envpin check {adapter.path} --base FOLDER",
    )


def _explicit(
    search: _Search, given: str, recorded: tuple[str | None, str | None], revision: str | None
) -> FoundBase | None:
    """`recorded` are id and commit of the manifest: the commit says nothing about a base of another name."""
    path = search.folder(Path(given).expanduser(), "given")
    if path is not None:
        return _named_by_cache(path, "given")
    reference = parse_hub_reference(given, bare=True)
    if reference is None:
        return None
    commit = recorded[1] if recorded[0] == reference.id else None
    if reference.revision is not None:
        commit, revision = None, reference.revision
    found = _in_cache(search, reference.id, commit, revision)
    if search.open_remote is None or (found is not None and has_weights(found.path)):
        return found
    return _opened(search.open_remote(reference.id, commit or revision))


def _by_path(
    search: _Search, recorded: str | None, named: str | None, hub_id: str | None, commit: str | None
) -> FoundBase | None:
    if recorded:
        path = search.folder(Path(recorded), "recorded by the manifest")
        if path is not None:
            return _named_by_cache(path, "recorded by the manifest", hub_id, commit)
    if named is None:
        return None
    for candidate, where in base_places(named, search.adapter):
        path = search.folder(candidate, where)
        if path is not None:
            return _named_by_cache(path, where, hub_id)
    return None


def _by_id(search: _Search, hub_id: str, commit: str | None, revision: str | None) -> FoundBase | None:
    """In the Hub cache; on the Hub where the cache has it not, or has it without its weights.

    A single word is asked of the Hub only where the adapter is from there too: folders are called `base` as well.
    """
    cached = _in_cache(search, hub_id, commit, revision)
    if search.open_remote is None or (cached is not None and has_weights(cached.path)):
        return cached
    if "/" not in hub_id and search.adapter is not None:
        return cached
    try:
        return _opened(search.open_remote(hub_id, commit or revision))
    except InputError as error:
        remedy = f"; {error.hint}" if error.hint else ""
        search.looked.append(f"the Hub: {error.message.partition(chr(10))[0]}{remedy}")
        return cached


def _opened(remote: RemotePlace) -> FoundBase:
    return FoundBase(path=remote.local, id=remote.id, commit=remote.commit, found="on the Hub", remote=remote)


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
    return FoundBase(path=path, id=hub_id, commit=wanted, found="in the Hub cache")


def _named_by_cache(path: Path, found: str, hub_id: str | None = None, commit: str | None = None) -> FoundBase:
    """A path inside a Hub cache tells its own id and commit; any other has those that are recorded for it."""
    known = cached_identity(path)
    if known is not None:
        return FoundBase(path=path, id=known[0], commit=known[1], found=found)
    return FoundBase(path=path, id=hub_id, commit=commit, found=found)
