"""Checks of the engine `stream`, run inside one pinned environment: `stream_inside.py WORKERS GRID SCRATCH OUT`.

Every function named `check_…` gets a fresh folder and raises where the engine is wrong; OUT gets one line of JSON per
check. pytest is not there: test_stream.py starts this file and reports each check as a test.
"""

import copy
import errno
import functools
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import peft
import torch
import transformers

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from load_inside import load, load_workers  # type: ignore[import-not-found]

WORKERS, GRID, SCRATCH, OUT = sys.argv[1:5]
load_workers(WORKERS)
grid = load("grid_inside", GRID)

from envpin_worker import verbs
from envpin_worker.protocol import KnownError
from envpin_worker.runtime.bits import equal_bits
from envpin_worker.stream import layers as stream_layers
from envpin_worker.stream.io import write as stream_write
from envpin_worker.stream.prove import recompute as stream_recompute
from envpin_worker.stream.prove import verify as stream_verify


class Silent:
    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_arguments, **_options: None


class Case:
    """A base and an adapter in a folder, with the merge that peft makes of them."""

    def __init__(
        self, folder: str, kind: str = "lora", *, sharded: bool = True, tied: bool = False, rows: int = 0
    ) -> None:
        self.folder = folder
        self.base, self.adapter = os.path.join(folder, "base"), os.path.join(folder, "adapter")
        grid.make_base(self.base, "llama", torch.bfloat16, tied, sharded)
        grid.make_adapter(self.adapter, self.base, "llama", grid.adapters("llama")[kind][0](), rows)

    def out(self, name: str = "out") -> str:
        path = os.path.join(self.folder, name)
        os.makedirs(path, exist_ok=True)
        return path

    def merge(self, out: str | None = None, **request: Any) -> dict[str, Any]:
        body = {"base": self.base, "adapter": self.adapter, "out": out or self.out(), **request}
        result: dict[str, Any] = verbs.answer("stream-merge", body, Silent())
        return result

    def refused(self, kind: str, **request: Any) -> KnownError:
        try:
            self.merge(**request)
        except KnownError as error:
            assert error.kind == kind, (error.kind, error.message)
            return error
        raise AssertionError("the merge went through")


def tensors(folder: str) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            found.update(load_file(os.path.join(folder, name)))
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert set(one) == set(other), set(one) ^ set(other)
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert torch.equal(one[name], other[name]), name


# what is written -----------------------------------------------------------------------------------------------------


def check_sharded_output_keeps_the_sharding_and_a_right_index(folder: str) -> None:
    case = Case(folder)
    result = case.merge()
    names = sorted(name for name in os.listdir(case.base) if name.endswith(".safetensors"))
    assert len(names) > 2
    assert sorted(result["files"]) == [*names, "model.safetensors.index.json"]
    with open(os.path.join(case.out(), "model.safetensors.index.json"), encoding="utf-8") as source:
        index = json.load(source)
    found = tensors(case.out())
    assert index["metadata"]["total_size"] == sum(one.numel() * one.element_size() for one in found.values())
    assert set(index["weight_map"]) == set(found)
    assert not [name for name in os.listdir(case.out()) if name.startswith(".") or name.endswith(".part")]
    assert result["changed"] == 14
    assert result["untouched"] == len(found) - 14


def check_every_adapter_tensor_is_in_one_operation(folder: str) -> None:
    case = Case(folder)
    result = case.merge()
    used = [name for one in result["operations"] for name in one["adapter_tensors"]]
    assert len(used) == len(set(used))
    assert set(used) == set(tensors(case.adapter))
    assert result["verification"]["adapter_tensors_used"] == len(used)


def check_bits_are_equal_wherever_they_lie(_folder: str) -> None:
    nan, zero = float("nan"), torch.zeros(13)
    assert equal_bits(torch.tensor([nan, 1.0]), torch.tensor([nan, 1.0]))
    assert not equal_bits(zero, -zero)
    assert not equal_bits(zero, zero.double())
    assert not equal_bits(zero, zero[:12])
    for dtype in (torch.uint8, torch.bfloat16, torch.float32, torch.float64):
        held = torch.arange(40).to(dtype)
        for length in (0, 1, 3, 8, 17):
            for first, second in ((0, 0), (0, 1), (1, 0), (3, 5)):
                mine, theirs = held[first : first + length], held.clone().roll(second - first)[second : second + length]
                assert equal_bits(mine, theirs), (dtype, length, first, second)
                for place in range(length):
                    other = theirs.clone()
                    other[place] += 1
                    assert not equal_bits(mine, other), (dtype, length, first, second, place)


def check_bytes_are_compared_to_the_last_one(_folder: str) -> None:
    for size in (1, 7, 8, 9, 4095, 4096):
        one = torch.randint(256, (size,), dtype=torch.uint8)
        assert equal_bits(one, one.clone())
        for place in {0, size // 2, size - 1}:
            other = one.clone()
            other[place] ^= 1
            assert not equal_bits(one, other), (size, place)


def check_lora_is_merged_without_importing_torchs_compiler(folder: str) -> None:
    case = Case(folder)
    script = os.path.join(os.path.dirname(GRID), "merge_inside.py")
    command = [sys.executable, script, "stream", case.base, case.adapter, case.out(), WORKERS]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    assert not json.loads(ended.stdout.splitlines()[-1])["compiler"]


def check_dora_is_merged_in_blocks_and_leaves_nothing_with_its_layers(folder: str) -> None:
    case = Case(folder, "dora")
    kept: list[int] = []
    forget = stream_layers.forget_merge

    def forgotten(unit: torch.nn.Module) -> None:
        forget(unit)
        kept.extend(len(getattr(module, "_caches", {})) for module in unit.modules())

    stream_layers.forget_merge = forgotten
    try:
        result = case.merge()
    finally:
        stream_layers.forget_merge = forget
    assert {one["mode"] for one in result["operations"]} == {"rows"}
    assert kept
    assert not any(kept)


def check_resharding_changes_no_tensor(folder: str) -> None:
    case = Case(folder)
    case.merge()
    result = case.merge(case.out("again"), max_shard_size=60_000)
    assert len(result["files"]) > 4
    same(tensors(case.out()), tensors(case.out("again")))
    result = case.merge(case.out("one"), max_shard_size=10**9)
    assert list(result["files"]) == ["model.safetensors"]
    same(tensors(case.out()), tensors(case.out("one")))


def check_data_starts_where_it_did_in_a_page_and_metadata_is_written(folder: str) -> None:
    case = Case(folder, sharded=False)
    case.merge(metadata={"envpin": "0123abcd"})

    def start(path: str) -> int:
        with open(os.path.join(path, "model.safetensors"), "rb") as source:
            return 8 + int(struct.unpack("<Q", source.read(8))[0])

    assert (start(case.base) - start(case.out())) % 4096 == 0
    from safetensors import safe_open

    with safe_open(os.path.join(case.out(), "model.safetensors"), framework="pt") as reader:
        assert reader.metadata()["envpin"] == "0123abcd"
        assert reader.metadata()["format"] == "pt"


def check_another_dtype_is_what_peft_makes_of_a_base_loaded_in_it(folder: str) -> None:
    case = Case(folder)
    for name, dtype in (("fp32", torch.float32), ("fp16", torch.float16)):
        case.merge(case.out(name), dtype=name)
        key = next(iter(grid.dtype_auto()))
        whole = transformers.LlamaForCausalLM.from_pretrained(case.base, **{key: dtype})
        merged = peft.PeftModel.from_pretrained(whole, case.adapter).merge_and_unload()
        same({key: one for key, one in merged.state_dict().items() if "inv_freq" not in key}, tensors(case.out(name)))


def check_a_shorter_table_is_laid_over_the_longer_one(folder: str) -> None:
    case = Case(folder, "save-both")
    path = os.path.join(case.adapter, "adapter_model.safetensors")
    from safetensors.torch import load_file, save_file

    trained = load_file(path)
    short = {
        name: one[:300].contiguous() if one.shape[0] == grid.VOCABULARY and "lora" not in name else one
        for name, one in trained.items()
    }
    save_file(short, path)
    case.merge(embedding={"action": "overlay", "rows": grid.VOCABULARY})
    base, found = tensors(case.base), tensors(case.out())
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        mine = next(one for key, one in trained.items() if key.endswith(name))
        assert torch.equal(found[name][:300], mine[:300].to(torch.bfloat16)), name
        assert torch.equal(found[name][300:], base[name][300:]), name


def check_threads_do_not_change_a_byte(folder: str) -> None:
    case = Case(folder)
    digests = [case.merge(case.out("t%d" % threads), threads=threads)["files"] for threads in (1, 2, 5)]
    assert digests[0] == digests[1] == digests[2]


def check_blocks_of_any_size_give_the_bits_of_peft(folder: str) -> None:
    """Where a block of few rows takes another path through the matrix product, calibration must see it and drop it."""
    from envpin_worker.stream import blocks

    case = Case(folder)
    whole = transformers.LlamaForCausalLM.from_pretrained(case.base, **grid.dtype_auto())
    merged = peft.PeftModel.from_pretrained(whole, case.adapter).merge_and_unload().state_dict()
    wanted = {key: one for key, one in merged.items() if "inv_freq" not in key}
    kept, blockwise = blocks.BLOCK_ELEMENTS, {}
    multiple = blocks._ROW_MULTIPLE
    for rows in (1, 5, 32):
        blocks.BLOCK_ELEMENTS, blocks._ROW_MULTIPLE = 64 * rows, rows
        try:
            result = case.merge(case.out("rows-%d" % rows))
        finally:
            blocks.BLOCK_ELEMENTS, blocks._ROW_MULTIPLE = kept, multiple
        same(wanted, tensors(case.out("rows-%d" % rows)))
        blockwise[rows] = result["verification"]["calibration"]["blockwise"]
    assert blockwise[32] > 0, blockwise


def check_row_blocks_cover_all_rows_and_leave_no_sliver(_folder: str) -> None:
    from envpin_worker.stream import blocks

    for rows in (0, 1, 2, 31, 32, 33, 93, 2048, 2050, 32000, 151_936):
        for width in (1, 64, 2048, 5632, 14_336, 1 << 20):
            runs = blocks.row_blocks(rows, width)
            assert runs[0][0] == 0
            assert runs[-1][1] == rows
            assert [last for _, last in runs[:-1]] == [first for first, _ in runs[1:]]
            sizes = [last - first for first, last in runs]
            assert all(size % 32 == 0 for size in sizes[:-1])
            assert len(sizes) == 1 or sizes[0] <= sizes[-1] < 2 * sizes[0], (rows, width, sizes[-1])


def check_a_head_trained_over_tied_embeddings_gets_its_own_tensor(folder: str) -> None:
    case = Case(folder, "save-head", tied=True)
    assert "lm_head.weight" not in tensors(case.base)
    result = case.merge()
    assert result["config_updates"] == {"tie_word_embeddings": False}
    found = tensors(case.out())
    assert torch.equal(found["model.embed_tokens.weight"], tensors(case.base)["model.embed_tokens.weight"])
    assert not torch.equal(found["lm_head.weight"], found["model.embed_tokens.weight"])


# what is refused -----------------------------------------------------------------------------------------------------


def change_adapter(case: Case, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    path = os.path.join(case.adapter, "adapter_model.safetensors")
    held = load_file(path)
    change(held)
    save_file(held, path)


def change_json(path: str, **values: Any) -> None:
    with open(path, encoding="utf-8") as source:
        document = json.load(source)
    document.update(values)
    with open(path, "w", encoding="utf-8") as target:
        json.dump(document, target)


def check_an_extra_tensor_fails_the_plan(folder: str) -> None:
    case = Case(folder)
    change_adapter(
        case,
        lambda held: held.update({"base_model.model.model.layers.7.mlp.gate_proj.lora_A.weight": torch.zeros(4, 64)}),
    )
    error = case.refused("not-streamable")
    assert "layers.7" in error.message
    assert os.listdir(case.out()) == []


def check_a_missing_half_of_a_pair_fails_the_plan(folder: str) -> None:
    case = Case(folder)
    change_adapter(case, lambda held: held.__delitem__(next(name for name in held if "lora_B" in name)))
    case.refused("not-streamable")
    assert os.listdir(case.out()) == []


def check_names_of_a_compiled_model_fail_the_plan(folder: str) -> None:
    case = Case(folder)

    def rename(held: dict[str, Any]) -> None:
        for name in list(held):
            held[name.replace("base_model.model.", "base_model.model._orig_mod.")] = held.pop(name)

    change_adapter(case, rename)
    case.refused("not-streamable")


def check_a_quantized_base_that_nobody_decided_on_is_refused(folder: str) -> None:
    """The controller asks and explains; should a request come without the answer, the worker guesses none."""
    case = Case(folder)
    for method in ("gptq", "awq", "bitsandbytes"):
        change_json(os.path.join(case.base, "config.json"), quantization_config={"quant_method": method, "bits": 4})
        assert method in case.refused("quantized-base").message


def check_nothing_is_written_over_what_is_there(folder: str) -> None:
    case = Case(folder)
    with open(os.path.join(case.out("mine"), "notes.txt"), "w", encoding="utf-8") as target:
        target.write("mine")
    case.refused("output-exists", out=case.out("mine"))
    for taken in (case.base, case.adapter):
        before = {name: os.stat(os.path.join(taken, name)).st_mtime_ns for name in os.listdir(taken)}
        for resume in (False, True):
            case.refused("output-exists", out=taken, resume=resume)
        assert before == {name: os.stat(os.path.join(taken, name)).st_mtime_ns for name in os.listdir(taken)}


def check_an_index_may_not_point_outside(folder: str) -> None:
    case = Case(folder)
    path = os.path.join(case.base, "model.safetensors.index.json")
    with open(path, encoding="utf-8") as source:
        index = json.load(source)
    name = next(iter(index["weight_map"]))
    change_json(path, weight_map={**index["weight_map"], name: "../elsewhere.safetensors"})
    case.refused("bad-index")


def check_truncated_and_padded_files_are_named(folder: str) -> None:
    case = Case(folder, sharded=False)
    path = os.path.join(case.base, "model.safetensors")
    with open(path, "ab") as target:
        target.write(b"x")
    assert "model.safetensors" in case.refused("bad-header").message
    os.truncate(path, os.path.getsize(path) - 200)
    case.refused("bad-header")
    os.truncate(path, 0)
    case.refused("bad-header")


# crashes and faults --------------------------------------------------------------------------------------------------


def check_killed_merges_resume_to_the_same_bytes(folder: str) -> None:
    """`make test-all` kills at 30 moments."""
    counts = kill_and_resume(folder, int(os.environ.get("ENVPIN_KILLS") or 8))
    sys.stderr.write("kills: %s\n" % counts)


def kill_and_resume(folder: str, trials: int) -> dict[str, int]:
    """Fork a merge, kill it with SIGKILL at a random moment, resume it, compare every byte. Finished shards must be the
    very files that the killed merge left."""
    case = Case(folder)
    case.merge = functools.partial(case.merge, max_shard_size=40_000)  # type: ignore[method-assign]
    begin = time.monotonic()
    wanted = case.merge()["files"]
    assert len(wanted) > 5, wanted
    span = time.monotonic() - begin
    dice = random.Random(7)
    counts = {"killed": 0, "finished": 0, "resumed_shards": 0}
    for trial in range(trials):
        out = case.out("trial-%d" % trial)
        child = fork(case, out)
        time.sleep(dice.uniform(0.02, 1.1 * span))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        # The journal goes last: without it everything is there, even where the kill came before the process had ended.
        names = set(os.listdir(out))
        killed = os.WIFSIGNALED(status) and not (names >= set(wanted) and stream_write.JOURNAL not in names)
        counts["killed" if killed else "finished"] += 1
        left = {name: identity(out, name) for name in os.listdir(out) if name.endswith(".safetensors")}
        result = case.merge(out, resume=True)
        counts["resumed_shards"] += len(result["resumed"])
        if killed:
            assert stream_write.JOURNAL in names or not left, "a killed merge left what looks finished"
            # A shard that was renamed just before the kill may not be in the journal yet: one at most is made again.
            assert set(result["resumed"]) <= set(left), trial
            assert len(left) - len(result["resumed"]) <= 1, (left, result["resumed"])
            assert all(identity(out, name) == left[name] for name in result["resumed"]), (
                "a finished shard was rewritten"
            )
        assert result["files"] == wanted, trial
        for name in wanted:
            with open(os.path.join(out, name), "rb") as mine, open(os.path.join(case.out(), name), "rb") as theirs:
                assert mine.read() == theirs.read(), name
        shutil.rmtree(out)
    assert counts["killed"] > 0, counts
    return counts


def identity(folder: str, name: str) -> tuple[int, int]:
    found = os.stat(os.path.join(folder, name))
    return found.st_ino, found.st_mtime_ns


def fork(case: Case, out: str) -> int:
    child = os.fork()
    if child == 0:
        try:
            case.merge(out, resume=True)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


def check_a_resumed_shard_that_was_changed_is_made_again(folder: str) -> None:
    case = Case(folder)
    wanted = case.merge()["files"]
    out = case.out("again")
    stop_after_shards(case, out, 2)
    finished = sorted(name for name in os.listdir(out) if name.endswith(".safetensors"))
    assert len(finished) == 2
    with open(os.path.join(out, finished[0]), "r+b") as target:
        target.seek(-5, os.SEEK_END)
        target.write(b"\x00\x01")
    result = case.merge(out, resume=True)
    assert result["resumed"] == finished[1:]
    assert result["files"] == wanted


def stop_after_shards(case: Case, out: str, count: int) -> None:
    class Stop(BaseException):  # a kill is no fault of the engine, which would fall back
        pass

    add, seen = stream_write.ShardJournal.add, []

    def counted(self: Any, entry: Any) -> None:
        add(self, entry)
        seen.append(entry)
        if len(seen) == count:
            raise Stop

    stream_write.ShardJournal.add = counted
    try:
        case.merge(out)
    except Stop:
        pass
    finally:
        stream_write.ShardJournal.add = add


def check_resume_with_another_adapter_starts_anew(folder: str) -> None:
    case = Case(folder)
    out = case.out("again")
    stop_after_shards(case, out, 2)
    change_adapter(case, lambda held: held.update({name: 2 * one for name, one in held.items() if "lora_B" in name}))
    result = case.merge(out, resume=True)
    assert result["resumed"] == []
    assert result["files"] == case.merge()["files"]


def check_two_merges_into_one_folder_one_gets_a_clear_error(folder: str) -> None:
    case = Case(folder)
    journal = stream_write.ShardJournal(case.out(), "someone else's", False)
    case.refused("output-busy")
    journal.close(remove=True)
    case.merge()


def faults() -> Iterator[Any]:
    """Writes that go wrong without saying so, as (name, what to do with one `pwrite`)."""
    write = os.pwrite
    yield "flipped bit", lambda fd, data, at: write(fd, bytes(data[:-1]) + bytes([data[-1] ^ 1]), at)
    yield "lost", lambda _fd, data, _at: len(data)
    yield "misplaced", lambda fd, data, at: write(fd, data, at + 2)
    yield "zeros", lambda fd, data, at: write(fd, bytes(len(data)), at)
    yield "not a number", lambda fd, data, at: write(fd, b"\xff\x7f" * (len(data) // 2), at)


def check_a_faulty_write_is_caught(folder: str) -> None:
    """Every fault, in the first write (a header), in a changed tensor, and in an untouched one."""
    case = Case(folder, sharded=False)
    kept, copy = os.pwrite, os.copy_file_range
    caught = 0
    for name, fault in list(faults()):
        for place in (0, 1, 9, "copy"):
            out = case.out("%s-%s" % (name, place))
            state = {"seen": -1}

            def pwrite(fd: int, data: Any, at: int, fault: Any = fault, place: Any = place, state: Any = state) -> int:
                state["seen"] += 1
                if state["seen"] == place or (place == "copy" and len(data) > 20_000 and state["seen"] > 0):
                    return int(fault(fd, memoryview(data).cast("B"), at))
                return int(kept(fd, data, at))

            def no_copy(*_arguments: Any) -> int:
                raise OSError(errno.EXDEV, "another file system")

            os.pwrite = pwrite
            if place == "copy":
                os.copy_file_range = no_copy  # type: ignore[assignment]
            try:
                case.merge(out, threads=1)
            except KnownError as error:
                # a NaN that is read back may be what was computed: the answer names both
                kinds = {"verification-failed", "bad-header", *({"not-finite"} if name == "not a number" else ())}
                assert error.kind in kinds, (name, place, error.kind, error.message)
                caught += 1
            else:
                raise AssertionError("not caught: %s at write %s" % (name, place))
            finally:
                os.pwrite, os.copy_file_range = kept, copy
            assert not [one for one in os.listdir(out) if one.endswith(".safetensors")]
    assert caught == 20


def check_the_kernel_refusing_to_write_is_survived(folder: str) -> None:
    """A file size limit is a real write error of a real kernel, and needs no mount: EFBIG in the middle of a shard."""
    case = Case(folder, sharded=False)
    size = os.path.getsize(os.path.join(case.base, "model.safetensors"))
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))
    try:
        case.merge()
    except OSError as error:
        assert error.errno == errno.EFBIG, error
    else:
        raise AssertionError("the limit did nothing")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert not [one for one in os.listdir(case.out()) if one.endswith(".safetensors")]
    case.merge(resume=True)


def check_a_full_disk_is_said_before_the_first_byte(folder: str) -> None:
    case = Case(folder)
    real = os.statvfs

    class Full:
        f_bavail, f_frsize = 10, 4096

    os.statvfs = lambda _path: Full  # type: ignore[assignment, return-value]
    try:
        error = case.refused("disk-full")
    finally:
        os.statvfs = real
    assert error.data["free"] == 40960
    assert [name for name in os.listdir(case.out()) if not name.startswith(".")] == []


# verification --------------------------------------------------------------------------------------------------------


def check_recomputation_would_see_another_scale_or_a_swapped_tensor(folder: str) -> None:
    """The judge itself: outputs made with a slightly wrong adapter must fail against the right one."""
    case = Case(folder, sharded=False)
    write = stream_write.Writer.fill
    for factor in (0.0, 0.97, 1.03, 2.0):
        tampered = Tampered(factor)
        stream_write.Writer.fill = lambda writer, *rest, tampered=tampered: tampered.write(writer, *rest)
        try:
            error = case.refused("verification-failed", out=case.out("scaled-%s" % factor))
            assert "float64" in error.message, error.message
        finally:
            stream_write.Writer.fill = write


def check_the_probe_ratio_tells_good_from_doubled_scaled_and_empty(folder: str) -> None:
    case = Case(folder)
    ratios: dict[str, Any] = {}
    for name, factor in (("good", 1.0), ("doubled", 2.0), ("half", 0.5), ("nothing", 0.0)):
        out = case.out(name)
        kept = os.path.join(folder, "kept.safetensors")
        path = os.path.join(case.adapter, "adapter_model.safetensors")
        shutil.copyfile(path, kept)
        change_adapter(case, functools.partial(scale_b, factor=factor))
        case.merge(out)
        os.replace(kept, path)
        shutil.copyfile(os.path.join(case.base, "config.json"), os.path.join(out, "config.json"))
        request = {"base": case.base, "adapter": case.adapter, "merged": out, "scratch": folder}
        ratios[name] = verbs.answer("stream-answers", request, Silent())["probe"]["ratio"]
    assert ratios["good"] < 0.05, ratios
    assert 0.3 < ratios["half"] < 0.7, ratios
    assert 0.95 < ratios["nothing"] < 1.05, ratios
    assert ratios["doubled"] > 0.6, ratios
    change_adapter(case, lambda held: scale_b(held, 0.0))
    request = {"base": case.base, "adapter": case.adapter, "merged": case.out("nothing"), "scratch": folder}
    probe = verbs.answer("stream-answers", request, Silent())["probe"]
    assert probe["moved"] == 0, probe
    assert probe["ratio"] is None, probe


def scale_b(held: dict[str, Any], factor: float) -> None:
    held.update({name: factor * one for name, one in held.items() if "lora_B" in name})


class Tampered:
    """Writes with every B of the adapter scaled, while the verification sees the adapter as it is."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._write = stream_write.Writer.fill

    def write(self, writer: Any, *arguments: Any) -> Any:
        merger = copy.copy(writer._merger)  # what verifies meanwhile has its own
        fill = merger.fill

        def scaled(slot: Any) -> Any:
            value = fill(slot)
            return value * self._factor if "lora_B" in slot.name else value

        merger.fill = scaled
        writer._merger = merger
        return self._write(writer, *arguments)


def check_bounds_are_halves_of_a_unit_in_the_last_place(_folder: str) -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        one = torch.tensor([1.0, 1.5, 0.75, 3.0, 1e-3], dtype=torch.float64)
        spacing = stream_recompute.ulp(one, dtype)
        for value, step in zip(one.to(dtype), spacing):  # noqa: B905
            following = (
                torch.nextafter(value, torch.tensor(float("inf"), dtype=dtype)) if dtype != torch.float16 else None
            )
            if following is not None and float(value) in (1.0, 1.5, 0.75, 3.0):
                assert float(following) - float(value) == float(step), (dtype, value)


def check_finite_test_sees_one_value_among_many(_folder: str) -> None:
    for dtype, name in ((torch.bfloat16, "BF16"), (torch.float16, "F16"), (torch.float32, "F32")):
        values = torch.randn(100_000).to(dtype)
        buffer = bytearray(bytes(stream_verify.memory_of(values)))
        assert stream_verify._all_finite(memoryview(buffer), name)
        for bad in (float("nan"), float("inf"), float("-inf")):
            values[777] = bad
            buffer = bytearray(bytes(stream_verify.memory_of(values)))
            assert not stream_verify._all_finite(memoryview(buffer), name)
        values = torch.full((1000,), torch.finfo(dtype).max, dtype=dtype)  # finite, and the sum overflows
        assert stream_verify._all_finite(memoryview(bytearray(bytes(stream_verify.memory_of(values)))), name)


def run_checks(checks: dict[str, Callable[[str], None]]) -> None:
    """Each of `checks`, or those that the command line names, in a folder of its own."""
    names: list[str] = sys.argv[5:] or sorted(checks)
    with open(OUT, "w", encoding="utf-8") as target:
        for name in names:
            folder = os.path.join(SCRATCH, name)
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            begin = time.monotonic()
            try:
                checks[name](folder)
                trouble = ""
            except BaseException:
                trouble = traceback.format_exc()
            seconds = round(time.monotonic() - begin, 2)
            target.write(json.dumps({"check": name, "trouble": trouble, "seconds": seconds}) + "\n")
            target.flush()
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    run_checks({name: one for name, one in globals().items() if name.startswith("check_")})
