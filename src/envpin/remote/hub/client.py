"""From a reference to a repository at one commit: asked of the Hub, or offline found in its cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.errors import InputError, RefusedError
from envpin.core.events import Note, Step, ignore
from envpin.core.files import exists
from envpin.core.hub_cache import commit_of, hub_cache, snapshot_of, storage_of
from envpin.core.hub_id import HubReference, is_commit, is_hub_id, is_revision, parse_hub_reference
from envpin.core.sizes import counted
from envpin.remote.hub.faults import is_offline, library, offline_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpin.core.events import Listener
    from envpin.core.place import OpenRemote
    from envpin.remote.hub.place import HubPlace

_FORM = "a folder, `user/name` on the Hub, or `user/name@revision`"


class Hub:
    """Opens what users and adapters name. Nothing is asked of the network before that, and `offline` nothing at all."""

    def __init__(self, *, offline: bool = False, listener: Listener = ignore) -> None:
        self._offline = offline
        self._listener = listener
        self._opened: dict[tuple[str, str | None], HubPlace] = {}

    @property
    def offline(self) -> bool:
        return self._offline or is_offline()

    def open_place(self, reference: str | Path) -> Path | HubPlace:
        """The folder, or the repository of the Hub, that `reference` means; a folder of that name wins.

        `hf://user/name` means the Hub in any case. Offline, a repository is its snapshot in the Hub cache: a folder.

        Raises:
            InputError: neither is there, or the repository may not be read.
            NetworkError: the Hub does not answer; or offline, and the cache does not hold it.
            RefusedError: the Hub answers with something that no repository can hold.
        """
        text = str(reference)
        found = parse_hub_reference(text)
        path = _expanded(text)
        if exists(path) and not text.startswith("hf://"):
            if found is not None and path.is_dir():
                self._listener(Note(message=f"`{text}` is a folder here, and is used; hf://{text} means the Hub's"))
            return path
        if found is None:
            return path  # its reader says that it is not there
        return self.cached(found) if self.offline else self.open(found)

    @property
    def open_remote(self) -> OpenRemote | None:
        """For readers that look for a base on the Hub; None offline, where they look into the cache by themselves."""
        return None if self.offline else self.open_base

    def open_base(self, repository: str, revision: str | None, /) -> HubPlace:
        """A base that an adapter or a user names by its id.

        Raises:
            InputError, NetworkError, RefusedError: as `open_place`.
        """
        reference = HubReference(repository, revision)
        if not is_hub_id(repository) or not (revision is None or is_revision(revision)):
            raise InputError(f"`{str(reference)[:200]}` is not a repository of the Hub", hint=f"give {_FORM}")
        if self.offline:
            raise offline_error(str(reference))
        return self.open(reference)

    def open(self, reference: HubReference) -> HubPlace:
        """The repository at the commit that its revision (else `main`) means now. Once opened it stays at that commit.

        Raises:
            InputError, NetworkError, RefusedError: as `open_place`.
        """
        key = (reference.id, reference.revision)
        if key not in self._opened:
            self._opened[key] = self._open(reference)
        return self._opened[key]

    def _open(self, reference: HubReference) -> HubPlace:
        # A folder is checked in milliseconds: what asks the Hub is imported when it is asked.
        from envpin.remote.hub.listing import read_listing
        from envpin.remote.hub.place import HubPlace
        from envpin.remote.hub.repository import Repository
        from envpin.remote.hub.transport import TIMEOUT, retried

        title = f"ask the Hub for {reference.short}"
        self._listener(Step(key="hub", title=title))
        api = library().HfApi(library_name="envpin")
        what = str(reference)

        def ask() -> object:
            return api.model_info(reference.id, revision=reference.revision, files_metadata=True, timeout=TIMEOUT)

        try:
            info = retried(ask, what)
            commit = info.sha
            if not isinstance(commit, str) or not is_commit(commit):
                raise RefusedError(f"`{what}`: the Hub answers with `{str(commit)[:60]}`, which is no commit")
            siblings: Iterable[object] = info.siblings or ()
            files = read_listing(siblings, what)
            if any(file.size is None for file in files.values()):
                # A mirror may leave the sizes out of this answer. The listing of the tree has them, page by page.
                tree = retried(lambda: list(api.list_repo_tree(reference.id, revision=commit)), what)
                listed = [one for one in tree if hasattr(one, "size")]
                files = {**files, **read_listing(listed, what)}
        except Exception:
            self._listener(Step(key="hub", title=title, state="failed"))
            raise
        self._listener(
            Step(key="hub", title=title, state="done", detail=f"commit {commit[:12]}, {counted(len(files), 'file')}")
        )
        return HubPlace(Repository(reference, commit=commit, files=files, cache=hub_cache(), listener=self._listener))

    def cached(self, reference: HubReference) -> Path:
        """The snapshot of a repository in the Hub cache.

        Raises:
            NetworkError: the cache does not hold it.
        """
        storage = storage_of(reference.id)
        commit = commit_of(storage, reference.revision)
        if commit is None or not is_commit(commit) or not snapshot_of(storage, commit).is_dir():
            raise offline_error(str(reference))
        return snapshot_of(storage, commit)


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # `~nobody`
        return Path(text)
