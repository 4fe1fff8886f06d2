"""From a staging folder to the finished output: companions copied, everything on disk, one rename.

Nothing that looks finished exists before the rename, and nothing is ever written into a base or adapter folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from envpin.checkpoint.confined import leads_out, roots_of
from envpin.core.errors import InfrastructureError, InputError, OutputExistsError, RefusedError
from envpin.core.events import Note, ignore
from envpin.core.files import digest, exists, read_bounded, remove_tree, sync_folder, sync_tree, write_cache
from envpin.core.scratch import remove_surely
from envpin.core.sizes import counted, verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envpin.core.events import Listener

# A tokenizer is these files together: mixing an adapter's tokenizer.json with a base's added_tokens.json makes a third.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "chat_template.jinja",
    "chat_template.json",
)
TOKENIZER_CORE = frozenset(TOKENIZER_FILES) - {"chat_template.jinja", "chat_template.json", "special_tokens_map.json"}
_JOURNAL = ".envpin-stream-journal"  # workers/stream/io/write.py
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")


def refuse_existing(out: Path, *, named: str = "-o") -> None:
    """`named` is how the command line calls it.

    Raises:
        OutputExistsError: `out` exists and is not an empty folder.
        InputError: its parent is not a folder that can be written to.
    """
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise OutputExistsError(f"`{out}` exists", hint=f"choose another {named}, or move it away first")
    parent = out.absolute().parent
    if not parent.is_dir():
        raise InputError(f"`{parent}` is not a folder, so `{out.name}` cannot be made in it", path=parent)
    if not os.access(parent, os.W_OK):
        raise InputError(f"`{parent}` cannot be written to", path=parent)


def refuse_within(out: Path, others: Iterable[Path]) -> None:
    """Nothing is ever written into a base, an adapter or the store.

    Raises:
        RefusedError: `out` lies in one of `others`, or is one.
    """
    real = out.absolute().parent.resolve() / out.name
    for other in others:
        if _is_within(real, other.resolve()):
            raise RefusedError(f"`{out}` is inside `{other}`, into which nothing is written", hint="choose another -o")


def _is_within(path: Path, folder: Path) -> bool:
    """By identity as well: one folder has many names where it is mounted twice, or where case does not count."""
    if path.is_relative_to(folder):
        return True
    for above in (path, *path.parents):
        with contextlib.suppress(OSError):
            if above.samefile(folder):
                return True
    if not Path(str(path).casefold()).is_relative_to(str(folder).casefold()):
        return False
    return _as_spelled(path).is_relative_to(_as_spelled(folder))  # drivers of FUSE number each spelling on its own


def _as_spelled(path: Path) -> Path:
    """The path as the disk spells it, as far as it is there."""
    found = Path(path.anchor)
    for part in path.parts[1:]:
        names: list[str] = []
        with contextlib.suppress(OSError):
            names = os.listdir(found)  # noqa: PTH208  names only
        fold = part.casefold()
        found /= part if part in names else next((one for one in names if one.casefold() == fold), part)
    return found


@contextlib.contextmanager
def staging(out: Path, *, locks: Path, resume: bool = False, listener: Listener = ignore) -> Iterator[Path]:
    """A new staging folder beside `out`; removed on the way out unless it was renamed, or holds finished shards that
    `--resume` can go on from. Leftovers of killed merges into the same output are removed first; with `resume`, one
    that a merge of this store has made is taken instead, if it holds finished shards. `locks` is a folder for lock
    files; one for each output stays there, and the name of its last staging folder.

    Raises:
        RefusedError: another merge is writing this output now.
    """
    out = out.absolute()
    locks.mkdir(parents=True, exist_ok=True)
    # Not beside the output: a lock file may not be removed without a race, and nobody wants one next to their model.
    name = digest(os.fsencode(out))[:32]
    lock = FileLock(locks / (name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as busy:
        raise RefusedError(f"another merge is writing `{out}` now", hint="wait for it, or choose another -o") from busy
    try:
        prefix = f".{out.name}.envpin-staging-"
        folder = _staging_folder(out, prefix, locks / (name + ".staging"), resume=resume, listener=listener)
        try:
            yield folder
        finally:
            if count := finished_shards(folder):
                kept = f"{counted(count, 'finished shard')} {verb(count, 'is', 'are')} kept"
                listener(Note(message=f"{kept}; the same command with --resume goes on"))
            else:
                remove_surely(folder)
    finally:
        lock.release()


def _staging_folder(out: Path, prefix: str, own: Path, *, resume: bool, listener: Listener) -> Path:
    """`own` is a file of the store that names the last folder that was made here."""
    leftovers = [one for one in out.parent.iterdir() if one.name.startswith(prefix)]
    furthest = next((one for one in leftovers if _is_own(one, own) and finished_shards(one)), None) if resume else None
    if furthest is not None:
        leftovers.remove(furthest)
    for leftover in leftovers:
        remove_tree(leftover)
    if furthest is not None:
        return furthest
    if resume:
        listener(Note(message=f"no killed merge into `{out}` has left a finished shard; it starts anew"))
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
    except OSError as error:
        raise InputError(
            f"no folder can be made for `{out.name}` in `{out.parent}`: {error.strerror}", path=out
        ) from error
    with contextlib.suppress(OSError):  # FAT and its like have no modes
        folder.chmod(0o755)
    write_cache(own, _identity(folder))
    return folder


def _is_own(folder: Path, own: Path) -> bool:
    """Whether a merge of this store made the folder. Whoever shares the parent, or packed an archive that was unpacked
    there, can put another one under such a name, whose shards would count as proved."""
    try:
        return not folder.is_symlink() and read_bounded(own, 4096).decode() == _identity(folder)
    except (OSError, UnicodeDecodeError):
        return False


def _identity(folder: Path) -> str:
    status = folder.lstat()
    return f"{folder.name} {status.st_dev} {status.st_ino}"


def finished_shards(folder: Path) -> int:
    """How many shards of a streamed merge are whole in a staging folder. The worker renames each when it is, and takes
    its journal away when all are."""
    if not (folder / _JOURNAL).is_file():
        return 0
    return sum(1 for path in folder.glob("*.safetensors") if path.is_file())


def copy_companions(*, adapter: Path, base: Path, staged: Path) -> dict[str, str]:
    """Copy tokenizer, chat template, processor and generation config into `staged`.

    Returns which folder (`adapter` or `base`) each copied file came from.

    Raises:
        RefusedError: see `companions`.
    """
    found = companions(adapter=adapter, base=base)
    for name, (_, source) in found.items():
        shutil.copyfile(source, staged / name)
    return {name: label for name, (label, _) in found.items()}


def companions(*, adapter: Path, base: Path) -> dict[str, tuple[str, Path]]:
    """What goes next to the weights, by name: whose file it is (`adapter` or `base`), and where it lies.

    The adapter's tokenizer wins as a whole; the base's is taken where the adapter has none.

    Raises:
        RefusedError: one is a link to somewhere else.
    """
    found: dict[str, tuple[str, Path]] = {}
    has_own = any((adapter / name).is_file() for name in TOKENIZER_CORE)
    for name in TOKENIZER_FILES:
        order = [("adapter", adapter)] if has_own else [("adapter", adapter), ("base", base)]
        _take_first(name, order, found)
    for name in PROCESSOR_FILES:
        _take_first(name, [("adapter", adapter), ("base", base)], found)
    # The base's generation config was saved with the model already.
    _take_first("generation_config.json", [("adapter", adapter)], found)
    return found


def _take_first(name: str, order: list[tuple[str, Path]], found: dict[str, tuple[str, Path]]) -> None:
    for label, folder in order:
        source = folder / name
        if source.is_file():
            refuse_escape(source, folder)
            found[name] = (label, source)
            return


def refuse_escape(source: Path, folder: Path) -> None:
    """A link may lead within its folder or to the blobs of a Hub cache, never to some other file of this machine.

    Raises:
        RefusedError: it leads elsewhere.
    """
    if leads_out(source, roots_of(folder)):
        raise RefusedError(
            f"`{source}` is a link to `{os.path.realpath(source)}`, outside its folder",
            hint="replace the link by the file",
        )


def publish(staged: Path, out: Path) -> None:
    """The one rename.

    Raises:
        OutputExistsError: something took the name while the merge ran.
        InfrastructureError: the name cannot be given.
    """
    sync_tree(staged)
    try:
        staged.rename(out)
    except OSError as error:
        if out.is_symlink() or exists(out):
            raise OutputExistsError(f"`{out}` appeared while the merge ran", hint="choose another -o") from error
        raise InfrastructureError(f"the merged model cannot be named `{out}`: {error.strerror}") from error
    sync_folder(out.absolute().parent)
