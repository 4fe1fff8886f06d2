"""A bundle as bytes: a tar with one form for one content, so that two bundles of the same things are the same file.

Reading is strict: whatever differs from what writing would give (a field, an order, a byte of padding, a name that
leaves the folder, a file more or less than SHA256SUMS lists) is refused, so that no changed bit goes unseen.
https://www.gnu.org/software/tar/manual/html_node/Standard.html
"""

from __future__ import annotations

import os
import re
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from envpin.core.errors import InputError, RefusedError
from envpin.core.files import digest, flush, move_over, naming, new_digest, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

TOP = "envpin-bundle"
SUMS = "SHA256SUMS"
FIRST = "restore.sh"
_BLOCK, _PIECE = 512, 1 << 20
_END = bytes(2 * _BLOCK)
_LARGEST = 1 << 50
_LONGEST_NAME = 1000
_LARGEST_SUMS = 50_000_000
_NAME = re.compile(r"[A-Za-z0-9._+@/!=~-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleMember:
    """One file of a bundle: its name below the top folder, and its content or the file that has it."""

    name: str
    content: bytes | None = None
    source: Path | None = None
    executable: bool = False

    def open(self) -> IO[bytes]:
        import io

        return io.BytesIO(self.content or b"") if self.source is None else open_regular(self.source)

    @property
    def size(self) -> int:
        return len(self.content or b"") if self.source is None else self.source.stat().st_size


def write_archive(target: Path, members: Sequence[BundleMember], *, progress: Callable[[int], None]) -> str:
    """Write a bundle: restore.sh first, then SHA256SUMS, then the rest by name. Returns the sha256 of the file.

    Raises:
        InputError: a file has a name or a size that the form does not have.
        RefusedError: a file changed while it was read.
    """
    ordered = sorted(members, key=lambda one: (one.name != FIRST, one.name))
    for one in ordered:
        _checked_name(one.name)
    digests = {one.name: _digest_of(one, progress) for one in ordered}
    sums = "".join(f"{digests[one.name]}  {one.name}\n" for one in ordered).encode("ascii")
    listed = [ordered[0], BundleMember(name=SUMS, content=sums), *ordered[1:]]
    temporary = target.with_name(f".{target.name}.envpin-{os.getpid()}-{os.urandom(4).hex()}.tmp")
    whole = new_digest()
    try:
        with naming(target), temporary.open("xb") as stream:

            def write(data: bytes) -> None:
                stream.write(data)
                whole.update(data)

            for one in listed:
                _write_member(one, digests.get(one.name), write, progress)
            write(_END)
            flush(stream)
        move_over(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return whole.hexdigest()


def read_archive(path: Path, sink: Callable[[str, bool], IO[bytes] | None] | None = None) -> tuple[str, dict[str, str]]:
    """Read a bundle to its end: the sha256 of the file, and that of each file in it.

    `sink` gets the name of each file, and whether it is a program, and may give a stream to write it to.

    Raises:
        InputError: it cannot be read.
        RefusedError: it is not, byte for byte, a bundle as `write_archive` makes it.
    """
    whole = new_digest()
    found: dict[str, str] = {}
    sums: dict[str, str] | None = None
    try:
        with open_regular(path) as stream:
            for info in _members(stream, whole.update):
                name = info.name.removeprefix(f"{TOP}/")
                _refuse(not info.name.startswith(f"{TOP}/") or not _is_safe(name), f"a file is called {info.name!r}")
                if len(found) == 1 and sums is None:
                    _refuse(name != SUMS, f"{SUMS} is not the second file")
                    _refuse(info.size > _LARGEST_SUMS, f"{SUMS} is too large")
                    text = b"".join(_content(stream, info.size, whole.update))
                    sums = _parsed(text, first=next(iter(found)))
                    if sink is not None:
                        _put(sink(SUMS, False), [text])
                    continue
                _refuse(sums is not None and name not in sums, f"`{name}` is not listed")
                _refuse(name in found or (sums is None and name != FIRST), f"`{name}` is not where it belongs")
                _refuse(bool(info.mode & 0o100) != _may_run(name), f"`{name}` has another mode")
                own = new_digest()
                target = sink(name, bool(info.mode & 0o100)) if sink is not None else None
                _put(target, _fed(_content(stream, info.size, whole.update), own.update))
                found[name] = own.hexdigest()
    except OSError as fault:
        raise InputError(f"`{path}` cannot be read: {fault.strerror or fault}", path=path) from fault
    _refuse(sums is None or list(sums) != list(found), "files are missing, or not in their order")
    for name, expected in (sums or {}).items():
        _refuse(found[name] != expected, f"`{name}` is not as it was made")
    return whole.hexdigest(), found


def _members(stream: IO[bytes], update: Callable[[bytes], None]) -> Iterator[tarfile.TarInfo]:
    """The headers, each exactly as `_header` writes it; whoever iterates reads the content in between."""
    while True:
        block = stream.read(_BLOCK)
        if block == bytes(_BLOCK):
            update(block)
            rest = stream.read(_BLOCK + 1)
            _refuse(rest != bytes(_BLOCK), "it does not end where its content does")
            update(rest)
            return
        info = _info(block)
        if info.type == tarfile.GNUTYPE_LONGNAME:  # a name of more than 100 bytes stands before its header
            _refuse(not 100 < info.size <= _LONGEST_NAME, "a file has no name")
            more = stream.read(info.size + -info.size % _BLOCK)
            last = stream.read(_BLOCK)
            name = more[: info.size - 1].decode("ascii", "replace")
            block, info = block + more + last, _info(last)
            info.name = name
        _refuse(info.size < 0 or info.size > _LARGEST, "a file has no size")
        _refuse(_header(info.name, info.size, executable=bool(info.mode & 0o100)) != block, "a header is not as made")
        update(block)
        yield info


def _info(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError, ValueError) as fault:
        raise RefusedError(_message(f"it is cut off or overwritten ({fault})"), hint=_HINT) from fault


def _content(stream: IO[bytes], size: int, update: Callable[[bytes], None]) -> Iterator[bytes]:
    left = size
    while left:
        block = stream.read(min(_PIECE, left))
        _refuse(not block, "it is cut off")
        update(block)
        left -= len(block)
        yield block
    padding = stream.read(-size % _BLOCK)
    _refuse(padding != bytes(-size % _BLOCK), "there is something between its files")
    update(padding)


def _fed(blocks: Iterator[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for block in blocks:
        update(block)
        yield block


def _put(target: IO[bytes] | None, blocks: Iterator[bytes] | list[bytes]) -> None:
    if target is None:
        for _ in blocks:
            pass
        return
    with target:
        for block in blocks:
            target.write(block)


def _parsed(text: bytes, *, first: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.split(b"\n")[:-1]:
        match = re.fullmatch(rb"([0-9a-f]{64})  ([!-~]+)", line)
        _refuse(match is None, f"{SUMS} is no list of files")
        assert match is not None  # noqa: S101  for mypy
        name = match[2].decode("ascii")
        _refuse(name in found or not _is_safe(name), f"{SUMS} lists `{name}`")
        found[name] = match[1].decode("ascii")
    _refuse(not text.endswith(b"\n") or next(iter(found), None) != first, f"{SUMS} is cut off")
    return found


def _write_member(
    one: BundleMember, expected: str | None, write: Callable[[bytes], None], progress: Callable[[int], None]
) -> None:
    size, done, own = one.size, 0, new_digest()
    write(_header(f"{TOP}/{one.name}", size, executable=_may_run(one.name)))
    with one.open() as source:
        while block := source.read(_PIECE):
            write(block)
            own.update(block)
            done += len(block)
            progress(len(block))
    if done != size or (expected is not None and own.hexdigest() != expected):
        raise RefusedError(f"`{one.source}` changed while it was read", hint="run it again")
    write(bytes(-size % _BLOCK))


def _header(name: str, size: int, *, executable: bool) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o755 if executable else 0o644
    try:
        return info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")
    except UnicodeEncodeError:
        return b""  # no header is empty


def _may_run(name: str) -> bool:
    return name == FIRST or name.startswith("python/bin/")


def _digest_of(one: BundleMember, progress: Callable[[int], None]) -> str:
    if one.source is None:
        return digest(one.content or b"")
    found = new_digest()
    with open_regular(one.source) as stream:
        while block := stream.read(_PIECE):
            found.update(block)
            progress(len(block))
    return found.hexdigest()


def _checked_name(name: str) -> None:
    if not _is_safe(name) or len(name) > _LONGEST_NAME - 100:
        raise InputError(f"a file of a bundle cannot be called {name!r}", hint="rename it, or leave it out")


def _is_safe(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and all(part not in {"", ".", ".."} for part in name.split("/"))


_HINT = "get it again from where it was made; nothing of it was installed or run"


def _message(why: str) -> str:
    return f"this is not a bundle as envpin makes it: {why}"


def _refuse(wrong: bool, why: str) -> None:
    if wrong:
        raise RefusedError(_message(why), hint=_HINT)
