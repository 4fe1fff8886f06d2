"""One repository at one commit: what it holds, read from its cached files where they are, else by requests."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.errors import NetworkError
from envpin.core.events import Step, ignore
from envpin.core.hub_cache import snapshot_of, storage_of
from envpin.core.hub_id import HubReference
from envpin.core.sizes import counted
from envpin.remote.hub.faults import library
from envpin.remote.hub.transport import file_url, read_range, request_headers, retried

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.core.events import Listener
    from envpin.remote.hub.listing import HubFile

# Enough for the header of a shard of a large model and of most adapters: one request a file, instead of two.
_HEAD = 16_384
# Headers of 30 shards in four rounds. A judgement: more would hit rate limits sooner.
_HEADS_AT_ONCE = 8
# Larger files are read in parts only. tokenizer.json of Gemma 3 has 33 MB.
_WHOLE_LIMIT = 64_000_000


class Repository:
    """`reference` is what it was called, `files` its listing at `commit`, `local` its folder in the Hub cache."""

    def __init__(
        self,
        reference: HubReference,
        *,
        commit: str,
        files: Mapping[str, HubFile],
        cache: Path,
        listener: Listener = ignore,
    ) -> None:
        self.reference = reference
        self.id = reference.id
        self.commit = commit
        self.files = files
        self.storage = storage_of(self.id, cache)
        self.local = snapshot_of(self.storage, commit)
        self._listener = listener
        self._heads: dict[str, bytes] = {}
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def pinned(self) -> HubReference:
        """The reference that means these very bytes, also when its branch has moved on."""
        return HubReference(self.id, self.commit)

    def expect(self, name: str) -> HubFile:
        """
        Raises:
            FileNotFoundError: the repository has no such file.
        """
        found = self.files.get(name)
        if found is None:
            raise FileNotFoundError(2, "is not there", f"{self.reference}/{name}")
        return found

    def size(self, name: str) -> int:
        """In bytes; asked of the file itself where the listing does not tell."""
        found = self.expect(name)
        if found.size is not None:
            return found.size
        with self._lock:
            if name not in self._sizes:
                self._sizes[name] = self._asked_size(name)
            return self._sizes[name]

    def _asked_size(self, name: str) -> int:
        url = file_url(self.id, name, self.commit)
        metadata = retried(lambda: library().get_hf_file_metadata(url, headers=request_headers()), self._what(name))
        size = metadata.size
        if not isinstance(size, int) or size < 0:
            raise NetworkError(f"`{self._what(name)}`: the Hub does not say how long it is")
        return size

    def read(self, name: str, start: int, end: int) -> bytes:
        """The bytes `[start, end)`, within the file's size.

        Raises:
            FileNotFoundError: the repository has no such file.
            InputError, NetworkError: it may not be read, or the Hub does not answer.
        """
        self.expect(name)
        cached = self.local / name
        if cached.is_file():
            with cached.open("rb") as stream:
                stream.seek(start)
                return stream.read(end - start)
        head = self._head(name) if start < _HEAD else b""
        if end <= len(head):
            return head[start:end]
        known = head[start:]
        return known + self._request(name, start + len(known), end)

    def read_whole(self, name: str) -> bytes:
        """A small file whole, through the Hub cache, where it stays.

        Raises:
            OSError: it is too large for that, or not there.
            InputError, NetworkError: as `read`.
        """
        if self.size(name) > _WHOLE_LIMIT:
            raise OSError(27, f"larger than {_WHOLE_LIMIT:,} bytes", f"{self.reference}/{name}")
        cached = self.local / name
        if not cached.is_file():
            cached = Path(
                retried(
                    lambda: library().hf_hub_download(
                        self.id, name, revision=self.commit, cache_dir=self.storage.parent, library_name="envpin"
                    ),
                    self._what(name),
                )
            )
        return cached.read_bytes()

    def _head(self, name: str) -> bytes:
        """The first bytes of a file. Asked for one shard, those of all shards are fetched, some at a time."""
        with self._lock:
            if name not in self._heads:
                wanted = [name, *(other for other in self.files if other != name and _are_shards(name, other))]
                step = Step(key="hub-headers", title=f"read the headers of {self.reference.short}")
                self._listener(step)
                with ThreadPoolExecutor(_HEADS_AT_ONCE) as pool:
                    self._heads.update(zip(wanted, pool.map(self._request_head, wanted), strict=True))
                files = counted(len(wanted), "file")
                self._listener(step._replace(state="done", detail=files))
            return self._heads[name]

    def _request_head(self, name: str) -> bytes:
        size = self.files[name].size
        if (self.local / name).is_file():
            return b""  # never asked for: reads take the cached file
        return self._request(name, 0, _HEAD if size is None else min(_HEAD, size), exact=size is not None)

    def _request(self, name: str, start: int, end: int, *, exact: bool = True) -> bytes:
        if end <= start:
            return b""
        data = read_range(file_url(self.id, name, self.commit), start, end, self._what(name))
        if exact and len(data) != end - start:
            raise NetworkError(
                f"`{self._what(name)}`: the Hub sent {len(data):,} of {counted(end - start, 'byte')}", hint="try again"
            )
        return data

    def _what(self, name: str) -> str:
        return f"{self.id}:{name}"


def _are_shards(name: str, other: str) -> bool:
    """Whether both are shards of one set: equal but for the number before `-of-`."""
    stem, found, total = name.rpartition("-of-")
    stem_other, found_other, total_other = other.rpartition("-of-")
    return bool(found and found_other) and total == total_other and stem[:-5] == stem_other[:-5]
