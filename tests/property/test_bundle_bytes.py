"""Whatever is changed in a bundle, reading it refuses: bits, bytes, order, names, sizes, more files and fewer."""

from __future__ import annotations

import io
import os
import random
import tarfile
from typing import TYPE_CHECKING

import pytest

from envpin.bundle.archive import FIRST, SUMS, TOP, BundleMember, read_archive, write_archive
from envpin.bundle.unpack import unpacked, verify_bundle
from envpin.core.errors import EnvpinError, InputError, RefusedError
from envpin.core.files import digest
from envpin.envs.store.store import Store
from envpin.envs.store.wheels import WheelShelf
from tests.support.bundles import small_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def flipped(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]


def flipped_in_a_header(data: bytes, dice: random.Random) -> bytes:
    at = dice.choice([at for at in range(0, len(data), 512) if data[at : at + len(TOP)] == TOP.encode()])
    at += dice.randrange(512)
    return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]


def truncated(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data))]


def longer(data: bytes, dice: random.Random) -> bytes:
    return data + dice.randbytes(dice.choice([1, 512, 10240]))


def overwritten(data: bytes, dice: random.Random) -> bytes:
    at, count = dice.randrange(len(data)), dice.randrange(1, 2000)
    return data[:at] + dice.randbytes(count) + data[at + count :]


def cut_out(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(0, len(data), 512)
    return data[:at] + data[at + 512 :]


def rebuilt(data: bytes, dice: random.Random) -> bytes:
    """Written anew by another tar, with one thing changed: a name, a kind, an order, a file more or less."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = [(info, archive.extractfile(info).read()) for info in archive.getmembers()]  # type: ignore[union-attr]
    at = dice.randrange(len(files))
    info, content = files[at]
    kind = dice.randrange(9)
    if kind == 0:
        info.name = dice.choice(
            ["../../escape", f"{TOP}/../../escape", "/tmp/escape", f"{TOP}/a//b", f"{TOP}/x\\..\\y"]
        )
    elif kind == 1:
        info.type, info.linkname = dice.choice([(tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "../../x")])
        info.size, files[at] = 0, (info, b"")
    elif kind == 2:
        extra = tarfile.TarInfo(f"{TOP}/{dice.choice(['wheels/evil.whl', 'a', 'zz/evil.py'])}")
        extra.size = 4
        files.insert(dice.randrange(len(files) + 1), (extra, b"evil"))
    elif kind == 3:
        del files[at]
    elif kind == 4:
        files.append((info, content))
    elif kind == 5:
        other = dice.choice([one for one in range(len(files)) if one != at])
        files[at], files[other] = files[other], files[at]
    elif kind == 6:
        info.mode, info.mtime = dice.choice([(0o4755, 0), (info.mode, 1)])
    elif kind == 7:
        content = content + b"\n" if dice.randrange(2) else content[:-1]
        info.size, files[at] = len(content), (info, content)
    else:
        info.name = f"{TOP}/{dice.choice(['renamed', 'wheels/renamed.whl', 'adapter/envpin.json'])}"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for one, bytes_ in files:
            archive.addfile(one, io.BytesIO(bytes_))
    return stream.getvalue()


MUTATIONS = 1000 if os.environ.get("ENVPIN_TEST_ALL") else 300
WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flipped, flipped_in_a_header, truncated, longer, overwritten, cut_out, rebuilt, rebuilt, flipped, rebuilt,
)  # fmt: skip


def test_mutated_bundles_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    made = small_bundle(tmp_path)
    data = made.path.read_bytes()
    store, mutated = Store(tmp_path / "there"), tmp_path / "mutated.tar"
    before = {path for path in tmp_path.rglob("*") if "there" not in path.parts}
    for number in range(MUTATIONS):
        dice = random.Random(number)
        content = WAYS[number % len(WAYS)](data, dice)
        if content == data:
            continue
        mutated.write_bytes(content)
        with pytest.raises((RefusedError, InputError)):
            verify_bundle(mutated)
        if number % 5 == 0:
            with pytest.raises((RefusedError, InputError)), unpacked(mutated, store):
                pytest.fail(f"mutation {number} was let through")
    assert not list(WheelShelf(store.root).folder.rglob("*.whl"))
    assert {path for path in tmp_path.rglob("*") if "there" not in path.parts} - before <= {mutated}
    assert verify_bundle(made.path).sha256 == made.sha256


def test_two_bundles_of_the_same_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = small_bundle(tmp_path, "one.tar"), small_bundle(tmp_path, "two.tar")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256 == digest(first.path.read_bytes())


def test_any_tar_reads_it_and_restore_comes_first(tmp_path: Path) -> None:
    long = "wheels/" + "n" * 150 + ".whl"
    members = [BundleMember(name=FIRST, content=b"#!/bin/sh\n"), BundleMember(name=long, content=b"x" * 1000)]
    write_archive(tmp_path / "b.tar", members, progress=lambda _count: None)
    with tarfile.open(tmp_path / "b.tar") as archive:
        assert archive.getnames() == [f"{TOP}/{name}" for name in (FIRST, SUMS, long)]
    assert list(read_archive(tmp_path / "b.tar")[1]) == [FIRST, long]


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "a/./b", "", "a b", "a\nb", "ä", "a\\b", "x" * 1001])
def test_a_name_that_could_leave_the_folder_is_never_written(tmp_path: Path, name: str) -> None:
    members = [BundleMember(name=FIRST, content=b""), BundleMember(name=name, content=b"")]
    with pytest.raises(EnvpinError, match="cannot be called"):
        write_archive(tmp_path / "b.tar", members, progress=lambda _count: None)
    assert not list(tmp_path.iterdir())


def test_a_bundle_is_known_by_its_own_digest_where_somebody_said_it(tmp_path: Path) -> None:
    made = small_bundle(tmp_path)
    assert verify_bundle(made.path, sha256=made.sha256.upper()).description.wheels
    with pytest.raises(RefusedError, match="another bundle"):
        verify_bundle(made.path, sha256="0" * 64)


def test_a_file_in_the_way_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "small.tar").write_text("mine")
    with pytest.raises(RefusedError, match="exists"):
        small_bundle(tmp_path)
    assert (tmp_path / "small.tar").read_text() == "mine"
