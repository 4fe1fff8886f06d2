"""Whole files of a repository into the Hub cache, where every other tool finds them too.

huggingface_hub 2 keeps nothing of a download that was cut off, and a shard has gigabytes. So weights are fetched here,
into a partial file beside the cache's blobs: taken up where it ends, and renamed to the blob once its sha256 is the
listed one. huggingface_hub then makes its own entry for it; files that are listed without a sha256 (small ones) it
fetches itself.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from envpin.core.errors import DiskFullError, InfrastructureError, NetworkError
from envpin.core.events import Progress, Step, ignore
from envpin.core.files import Digest, flush, move_over, new_digest, write_atomically
from envpin.core.hub_cache import blob_of, ref_of
from envpin.core.hub_id import is_commit
from envpin.core.sizes import counted
from envpin.remote.hub.faults import library
from envpin.remote.hub.transport import file_url, open_from, retried

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import IO

    from envpin.core.events import Listener
    from envpin.remote.hub.repository import Repository

# A progress event a block: at 100 MB/s a hundred a second.
_BLOCK = 1 << 20
_KEY = "hub-download"


def download(repository: Repository, names: Iterable[str], *, listener: Listener = ignore) -> None:
    """Have these files in the Hub cache, at the repository's commit. What is there already is not asked for again.

    Raises:
        InputError, NetworkError: a file is not there, may not be read, or the Hub does not answer.
        DiskFullError: the cache has no room for them; nothing was fetched then.
    """
    missing = [name for name in dict.fromkeys(names) if not (repository.local / name).is_file()]
    if not missing:
        return
    total = sum(repository.size(name) for name in missing)
    title = f"download {repository.reference.short}"
    listener(Step(key=_KEY, title=title))
    done = 0
    try:
        _refuse_small_disk(repository, total - sum(_held(repository, name) for name in missing))
        for name in missing:
            label = f"{name} ({missing.index(name) + 1} of {len(missing)})"
            listener(Progress(key=_KEY, done=done, total=total, label=label))
            if repository.files[name].sha256 is not None:
                for at in _fetch_blob(repository, name):
                    listener(Progress(key=_KEY, done=done + at, total=total, label=label))
            _enter(repository, name)
            done += repository.size(name)
        _note_revision(repository)
    except BaseException:
        listener(Step(key=_KEY, title=title, state="failed", detail="what has arrived is kept; run it again to go on"))
        raise
    count = f"{counted(len(missing), 'file')}, {counted(total, 'byte')}"
    listener(Step(key=_KEY, title=title, state="done", detail=count))


def _note_revision(repository: Repository) -> None:
    """What the branch means now, as huggingface_hub notes it: so that offline the name leads to the snapshot."""
    revision = repository.reference.revision or "main"
    if is_commit(revision):
        return
    path = ref_of(repository.storage, revision)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, repository.commit)


def _partial(repository: Repository, name: str) -> Path:
    return blob_of(repository.storage, f"{repository.files[name].sha256}.envpin-partial")


def _held(repository: Repository, name: str) -> int:
    """How many bytes of a file an earlier try has left."""
    try:
        return _partial(repository, name).stat().st_size
    except OSError:
        return 0


def _refuse_small_disk(repository: Repository, needed: int) -> None:
    folder = repository.storage
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise InfrastructureError(f"the Hub cache `{folder.parent}` cannot be used: {error.strerror}") from error
    if needed > free:
        raise DiskFullError(
            f"`{repository.reference}` needs {counted(needed, 'more byte')}, and the disk of the Hub cache has "
            f"{free:,} free",
            hint="free some space, or set HF_HUB_CACHE to a folder on a larger disk",
        )


def _fetch_blob(repository: Repository, name: str) -> Iterator[int]:
    """Fetch one file into its blob, yielding how many bytes of it are there."""
    from filelock import FileLock

    sha256 = repository.files[name].sha256
    blob = blob_of(repository.storage, str(sha256))
    partial = _partial(repository, name)
    # The lock that huggingface_hub takes for this blob.
    lock = repository.storage.parent / ".locks" / repository.storage.name / f"{sha256}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if blob.is_file():
            return
        with partial.open("r+b" if partial.exists() else "w+b") as stream:
            yield from _fill(repository, name, stream)
            flush(stream)
        move_over(partial, blob)


def _fill(repository: Repository, name: str, stream: IO[bytes]) -> Iterator[int]:
    """Go on where the partial file ends, until it is whole; a connection that drops is taken up again."""
    size, what = repository.size(name), f"{repository.id}:{name}"
    digest = new_digest()
    while block := stream.read(_BLOCK):
        digest.update(block)
    if stream.tell() > size:
        digest = _restarted(stream)
    url = file_url(repository.id, name, repository.commit)
    idle = 0
    while (at := stream.tell()) < size:
        yield at
        with contextlib.ExitStack() as stack:
            first, chunks = retried(lambda: stack.enter_context(open_from(url, stream.tell())), what)
            if first != at:  # a server that ignores `Range`
                digest = _restarted(stream)
            try:
                for chunk in chunks:
                    stream.write(chunk)
                    digest.update(chunk)
                    yield stream.tell()
            except OSError as error:
                if error.errno is not None and not isinstance(error, (ConnectionError, TimeoutError)):
                    raise _disk_error(error) from error
            except Exception:  # noqa: BLE001, S110  the HTTP library's own: the connection dropped
                pass
        idle = idle + 1 if stream.tell() == at else 0
        if idle >= 5 or stream.tell() > size:
            break
    if stream.tell() != size:
        raise NetworkError(f"`{what}`: the connection drops again and again", hint="run the same command to go on")
    if digest.hexdigest() != repository.files[name].sha256:
        _restarted(stream)
        raise NetworkError(f"`{what}`: what arrived is not what the repository lists (sha256)", hint="try again")


def _restarted(stream: IO[bytes]) -> Digest:
    stream.seek(0)
    stream.truncate()
    return new_digest()


def _disk_error(error: OSError) -> InfrastructureError:
    if error.errno == 28:
        return DiskFullError("the disk of the Hub cache is full", hint="free some space, or set HF_HUB_CACHE")
    return InfrastructureError(f"the Hub cache cannot be written: {error.strerror}")


def _enter(repository: Repository, name: str) -> None:
    """Make the cache's entry for a file; fetches it where its blob is not there."""
    retried(
        lambda: library().hf_hub_download(
            repository.id,
            name,
            revision=repository.commit,
            cache_dir=repository.storage.parent,
            library_name="envpin",
        ),
        f"{repository.id}:{name}",
    )
