"""Disks that fill up, fail or lie under a streamed merge, run like the checks of stream_inside.py, whose tools they
use. A full disk is a real one: a small tmpfs, mounted where the system lets us."""

import contextlib
import errno
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import transformers

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream_inside as tools  # type: ignore[import-not-found]
from envpin_worker.stream import engine

write = tools.stream_write


class CannotMountError(Exception):
    """Reported as skipped, with its message as the reason."""


@contextlib.contextmanager
def small_disk(folder: str, size: int) -> Iterator[str]:
    path = os.path.join(folder, "small")
    os.makedirs(path)
    options = ["-t", "tmpfs", "-o", "size=%d" % size]
    try:
        done = subprocess.run(["mount", *options, "tmpfs", path], capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotMountError("mount: %s" % error) from error
    if done.returncode != 0:
        raise CannotMountError("a tmpfs cannot be mounted here: %s" % done.stderr.strip())
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def finished(folder: str) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".safetensors")]


def size_of(case: Any) -> int:
    return sum(os.path.getsize(os.path.join(case.base, name)) for name in os.listdir(case.base))


def check_a_small_disk_is_refused_before_the_first_byte(folder: str) -> None:
    case = tools.Case(folder)
    with small_disk(folder, size_of(case) // 2) as disk:
        error = case.refused("disk-full", out=case_folder(disk))
        assert error.data["needed"] > error.data["free"] > 0, error.data
        assert not [name for name in os.listdir(os.path.join(disk, "out")) if not name.startswith(".")]


def case_folder(disk: str) -> str:
    path = os.path.join(disk, "out")
    os.makedirs(path, exist_ok=True)
    return path


def check_a_disk_that_fills_up_while_writing_loses_nothing_that_was_finished(folder: str) -> None:
    case = tools.Case(folder)
    wanted = case.merge(max_shard_size=40_000)["files"]
    with small_disk(folder, 2 * size_of(case)) as disk:
        out, filler = case_folder(disk), os.path.join(disk, "somebody-else")
        add, seen = write.ShardJournal.add, []

        def fill_after_two(self: Any, entry: Any) -> None:
            add(self, entry)
            seen.append(entry)
            if len(seen) == 2:
                with open(filler, "wb") as target, contextlib.suppress(OSError):
                    while True:
                        target.write(bytes(4096))
                        target.flush()

        write.ShardJournal.add = fill_after_two
        try:
            case.merge(out, max_shard_size=40_000, threads=1)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
        else:
            raise AssertionError("the disk was full, and the merge went through")
        finally:
            write.ShardJournal.add = add
        left = finished(out)
        assert 2 <= len(left) < len(wanted) - 1, left
        assert "model.safetensors.index.json" not in os.listdir(out)
        os.unlink(filler)
        result = case.merge(out, max_shard_size=40_000, resume=True)
        assert set(result["resumed"]) <= set(left)
        assert len(result["resumed"]) >= 2
        assert result["files"] == wanted


def check_an_io_error_is_no_success(folder: str) -> None:
    """EIO where the kernel would give it: reading the base, writing, flushing, reading back."""
    case = tools.Case(folder, sharded=False)
    wanted = case.merge()["files"]
    for name, nth in (
        ("preadv", 3),
        ("preadv", 60),
        ("pwrite", 1),
        ("pwrite", 9),
        ("fsync", 0),
        ("copy_file_range", 0),
    ):
        out = case.out("%s-%d" % (name, nth))
        kept, calls = getattr(os, name), [0]

        def failing(*arguments: Any, kept: Any = kept, calls: list[int] = calls, nth: int = nth) -> Any:
            calls[0] += 1
            if calls[0] == nth + 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return kept(*arguments)

        setattr(os, name, failing)
        try:
            case.merge(out, threads=1)
        except OSError as error:
            assert error.errno == errno.EIO, error
        else:
            raise AssertionError("%s failed, and the merge went through" % name)
        finally:
            setattr(os, name, kept)
        assert not finished(out), (name, nth)
        assert case.merge(out, resume=True)["files"] == wanted


def check_an_error_of_an_early_flush_is_no_success(folder: str) -> None:
    """The kernel tells it once: no later `fsync` fails."""
    case = tools.Case(folder, sharded=False)
    flush, kept, calls = tools.stream_verify._FLUSH, os.fsync, [0]

    def failing(fd: Any) -> None:
        calls[0] += 1
        if calls[0] == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        kept(fd)

    tools.stream_verify._FLUSH = 0
    os.fsync = failing
    out = case.out("flushed")
    try:
        case.merge(out)
    except OSError as error:
        assert error.errno == errno.EIO, error
    else:
        raise AssertionError("a flush failed, and the merge went through")
    finally:
        tools.stream_verify._FLUSH = flush
        os.fsync = kept
    assert not finished(out)


def check_short_reads_and_writes_are_finished(folder: str) -> None:
    """The system may do a part of what it was asked: that is no error."""
    case = tools.Case(folder, sharded=False)
    wanted = case.merge()["files"]
    pwrite, preadv = os.pwrite, os.preadv

    def short_write(fd: int, data: Any, at: int) -> int:
        return pwrite(fd, memoryview(data)[:1000], at)

    def short_read(fd: int, buffers: Any, at: int) -> int:
        return preadv(fd, [memoryview(buffers[0])[:777]], at)

    os.pwrite, os.preadv = short_write, short_read  # type: ignore[assignment]
    try:
        assert case.merge(case.out("short"))["files"] == wanted
    finally:
        os.pwrite, os.preadv = pwrite, preadv


def check_the_copy_falls_back_where_the_kernel_cannot(folder: str) -> None:
    case = tools.Case(folder)
    wanted = case.merge()["files"]
    kept = os.copy_file_range
    for name, answer in (("EXDEV", errno.EXDEV), ("ENOSYS", errno.ENOSYS), ("EOPNOTSUPP", errno.EOPNOTSUPP), ("0", 0)):

        def refuse(*_arguments: Any, answer: int = answer) -> int:
            if answer:
                raise OSError(answer, os.strerror(answer))
            return 0  # some file systems copy nothing and say so

        os.copy_file_range = refuse  # type: ignore[assignment]
        try:
            assert case.merge(case.out("no-" + name))["files"] == wanted, name
        finally:
            os.copy_file_range = kept


def check_another_file_system_gives_the_same_bytes(folder: str) -> None:
    case = tools.Case(folder)
    wanted = case.merge()["files"]
    with small_disk(folder, 4 * size_of(case)) as disk:
        assert os.stat(disk).st_dev != os.stat(case.base).st_dev
        assert case.merge(case_folder(disk))["files"] == wanted


def check_a_byte_that_changes_before_it_is_read_back_is_named(folder: str) -> None:
    """After the write and before the proof: a byte of an untouched tensor, one of a changed one, a NaN."""
    case = tools.Case(folder, sharded=False)
    changed = {one["tensor"] for one in case.merge()["operations"]}
    verify = tools.stream_verify.ShardVerifier.verify
    faults: tuple[tuple[str, Callable[[str], bool], bytes, str], ...] = (
        ("untouched", lambda name: name not in changed, b"\x5a", "should be untouched"),
        ("changed", lambda name: name in changed, b"\x00\x42\x00\x42", "float64"),
        ("nan", lambda name: name in changed, b"\xc0\x7f", "not finite"),
    )
    for label, wanted, data, words in faults:

        def damaged(self: Any, file: Any, path: str, written: Any, wanted: Any = wanted, data: bytes = data) -> Any:
            for one in file.segments:
                written.wait(one.name)
            segment = next(one for one in file.segments if wanted(one.name) and one.size)
            with open(path, "r+b") as target:
                target.seek(segment.offset)
                target.write(data)
            return verify(self, file, path, written)

        tools.stream_verify.ShardVerifier.verify = damaged
        try:
            error = case.refused("not-finite" if label == "nan" else "verification-failed", out=case.out(label))
        finally:
            tools.stream_verify.ShardVerifier.verify = verify
        assert words in error.message, (label, error.message)
        assert wanted(error.data["tensor"]), (label, error.data)


def check_an_operation_that_was_not_checked_fails_the_merge(folder: str) -> None:
    case = tools.Case(folder)
    check = tools.stream_recompute.Recomputer.check
    tools.stream_recompute.Recomputer.check = lambda self, one, reader: check(self, one, reader)[1:]
    try:
        assert "0 of 14 operations were checked" in case.refused("verification-failed").message
    finally:
        tools.stream_recompute.Recomputer.check = check


def check_a_wrong_index_fails_the_merge(folder: str) -> None:
    case = tools.Case(folder)
    make = engine.index_document

    def forgetful(files: Any) -> Any:
        document = make(files)
        document["weight_map"].popitem()
        return document

    def too_large(files: Any) -> Any:
        document = make(files)
        document["metadata"]["total_size"] += 1
        return document

    for name, wrong in (("map", forgetful), ("size", too_large)):
        engine.index_document = wrong
        try:
            assert "index" in case.refused("verification-failed", out=case.out(name)).message
        finally:
            engine.index_document = make


def check_no_op_doubled_and_scaled_adapters_of_real_peft_are_told_by_the_ratio(folder: str) -> None:
    """Merged by plain peft, saved by plain transformers, judged against the adapter as it was trained."""
    import peft

    case = tools.Case(folder)
    kept = {name: tensor.clone() for name, tensor in tools.tensors(case.adapter).items()}

    def renamed(held: dict[str, Any]) -> None:
        for name in list(held):
            held[name.replace("base_model.model.", "base_model.model.wrong.")] = held.pop(name)

    def restore(held: dict[str, Any]) -> None:
        held.clear()
        held.update(kept)

    ratios: dict[str, float] = {}
    for name in ("good", "wrong-prefix", "doubled", "scaled"):
        base = transformers.LlamaForCausalLM.from_pretrained(case.base, **tools.grid.dtype_auto())
        if name == "wrong-prefix":
            tools.change_adapter(case, renamed)
        if name == "scaled":
            tools.change_adapter(case, lambda held: tools.scale_b(held, 3.0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            merged = peft.PeftModel.from_pretrained(base, case.adapter).merge_and_unload()
            if name == "doubled":
                merged = peft.PeftModel.from_pretrained(merged, case.adapter).merge_and_unload()
        merged.save_pretrained(case.out(name))
        tools.change_adapter(case, restore)
        request = {"base": case.base, "adapter": case.adapter, "merged": case.out(name), "scratch": folder}
        ratios[name] = tools.verbs.answer("stream-answers", request, tools.Silent())["probe"]["ratio"]
    assert ratios["good"] < 0.05, ratios
    assert 0.95 < ratios["wrong-prefix"] < 1.05, ratios
    assert ratios["doubled"] > 0.6, ratios
    assert ratios["scaled"] > 1.2, ratios


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    with torch.no_grad():
        tools.run_checks({name: one for name, one in globals().items() if name.startswith("check_")})
    with open(tools.OUT, encoding="utf-8") as found:
        lines = [json.loads(line) for line in found]
    with open(tools.OUT, "w", encoding="utf-8") as target:
        for line in lines:
            if "CannotMountError" in line["trouble"]:
                line["trouble"] = "skip: " + line["trouble"].strip().splitlines()[-1]
            target.write(json.dumps(line) + "\n")
