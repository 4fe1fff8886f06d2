"""Verb `stream-merge`: the engine `stream`. Merges tensor by tensor from file to file
(docs/explanation/streaming-merge.md).

A plan that cannot be made is the known error `not-streamable`; nothing has been written then.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import gc
import hashlib
import json
import os
from typing import Deque, Dict, List, NamedTuple, Optional, Tuple

from ..peft_engine.merge import versions
from ..protocol import Events, KnownError
from ..requests import StreamMergeRequest
from ..results import Accounting, DecodedBase, StreamMergeResult, StreamVerification
from ..runtime.device import choose
from ..runtime.heaps import bound_heaps
from ..runtime.loading import one_paragraph
from ..runtime.several import sources
from ..wire import encode
from .adapters import read_adapters
from .io.files import OutputFile, WeightFolder, index_document, refuse
from .io.reader import Reader
from .io.write import (
    JOURNAL,
    ShardEntry,
    ShardJournal,
    TensorCheck,
    WriteProgress,
    Writer,
    WrittenTensors,
    check_space,
    digest_of,
    sync_folder,
)
from .layers import Merger
from .plan import StreamPlan, make
from .prove.recompute import Recomputer, locate
from .prove.verify import ShardVerifier, tally, write_index
from .skeleton import Skeleton, build

# Enough to read, compute and write at once; each holds pinned blocks.
_CUDA_THREADS = 4
# On so many cores merging and verifying keep all of them busy.
_FEW_CORES = 2


def run(request: StreamMergeRequest, events: Events) -> StreamMergeResult:
    import torch

    # What is there now stays until the end. Looking through the imported libraries for garbage took a twentieth of the
    # time of merging 1.1 billion parameters.
    gc.freeze()
    with torch.no_grad():
        return _Merge(request, events).run()


def amount(count: int) -> str:
    """Bytes in words, `2.2 GB` or `412 kB`."""
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return "%d bytes" % count if units[0] == "bytes" else "%.3g %s" % (value, units[0])


class _Merge:
    def __init__(self, request: StreamMergeRequest, events: Events) -> None:
        self.request = request
        self.events = events
        self.folder = request.out
        self.reader = Reader()
        self.decoded: Optional[DecodedBase] = None

    def run(self) -> StreamMergeResult:
        if self.request.device == "cuda":
            choose("cuda", 0)  # before anything is read: a missing GPU is soon said
        self._refuse_occupied()
        self.events.step("stream-plan", "plan the merge from headers", "start")
        base, skeleton, plan = self._plan()
        changed = sum(len(one.outputs) for one in plan.operations)
        operations, files = len(plan.operations), len(plan.files)
        detail = "%d operation%s, %d file%s" % (
            operations, "" if operations == 1 else "s", files, "" if files == 1 else "s",
        )  # fmt: skip
        self.events.step("stream-plan", "plan the merge from headers", "done", detail)
        self.facts = model_facts(skeleton, plan)
        if self.device.is_cuda or self.request.device == "auto":
            self.events.note("computing on %s: %s" % (self.device.label, self.device.reason))
        self._set_threads()
        bound_heaps()
        total = sum(file.size for file in plan.files)
        self.events.step("stream-merge", "merge tensor by tensor", "start")
        try:
            entries, merger, resumed = self._execute(base, skeleton, plan, total)
        except (KnownError, OSError, MemoryError):
            raise
        except Exception as error:  # a layer of peft's that needs more than what lies in it
            self._clear(plan)
            raise refuse("peft's layers do not merge one by one: %s" % one_paragraph(error, 300)) from error
        detail = "%d tensors changed, %s" % (changed, amount(total))
        self.events.step("stream-merge", "merge tensor by tensor", "done", detail)
        return self._result(base, plan, entries, merger, resumed)

    def _clear(self, plan: StreamPlan) -> None:
        """Leave the folder empty for the other engine."""
        for name in [JOURNAL, *(file.name + end for file in plan.files for end in ("", ".part"))]:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(self.folder, name))

    def _refuse_occupied(self) -> None:
        """Nothing is ever written into a base or adapter folder, nor over somebody's files."""
        taken = [os.path.realpath(one.folder) for one in sources(self.request)]
        taken.append(os.path.realpath(self.request.base))
        left = [name for name in os.listdir(self.folder) if name != JOURNAL and not name.endswith(".part")]
        if os.path.realpath(self.folder) in taken or (left and not self.request.resume):
            raise KnownError("output-exists", "`%s` is not an empty folder" % self.folder, path=self.folder)

    def _plan(self) -> Tuple[WeightFolder, Skeleton, StreamPlan]:
        base = WeightFolder(self.request.base)
        skeleton = build(base, read_adapters(self.request), self.request)
        plan = make(skeleton, base, self.request)
        self.device = choose(self.request.device, changed_bytes(plan))
        if self.device.is_cuda and self.request.cuda_metadata:
            plan = make(skeleton, base, self.request._replace(metadata=self.request.cuda_metadata))
        return base, skeleton, plan

    def _set_threads(self) -> None:
        import torch

        self.pefts_threads = torch.get_num_threads()
        usual = _CUDA_THREADS if self.device.is_cuda else min(8, os.cpu_count() or 1)
        self.threads = self.request.threads or usual
        torch.set_num_threads(1)

    def _execute(
        self, base: WeightFolder, skeleton: Skeleton, plan: StreamPlan, total: int
    ) -> Tuple[Dict[str, ShardEntry], Merger, List[str]]:
        journal = ShardJournal(self.folder, self._plan_digest(base, plan), self.request.resume)
        whole = False
        self.base_reader = Reader(pinned=self.device.is_cuda)
        try:
            finished = self._still_whole(journal.finished)
            sample = next(iter(base.tensors.values())).path if base.tensors else None
            check_space(plan, self.folder, finished, sample)
            progress = WriteProgress(self.events, total, sum(len(file.segments) for file in plan.files))
            kept = [file for file in plan.files if file.name in finished]
            if kept:
                there = sum(file.size for file in kept)
                message = "%d of %d files are finished (%s) and are kept"
                self.events.note(message % (len(kept), len(plan.files), amount(there)))
                progress.add(there, tensors=sum(len(file.segments) for file in kept))
            merger = Merger(skeleton, self.base_reader, self.request, device=self.device.kind)
            with contextlib.closing(merger):
                merger.calibration.run(plan.operations, self.pefts_threads)
                merger.use_threads(self.pefts_threads)
                if skeleton.decoded is not None:
                    self.decoded = skeleton.decoded.check(self.reader)
                writer = Writer(plan, merger, self.reader, folder=self.folder, progress=progress, threads=self.threads)
                shards = _Shards(self, skeleton, plan, merger=merger, writer=writer, journal=journal)
                entries = dict(finished)
                entries.update(shards.run([file for file in plan.files if file.name not in finished]))
            # Before the journal goes: a merge that is killed between the two has nothing to do again but this.
            self.index = write_index(plan, self.folder, index_document(plan.files))
            whole = True
        finally:
            self.reader.close()
            self.base_reader.close()
            journal.close(remove=whole)
        return entries, merger, sorted(finished)

    def _still_whole(self, finished: Dict[str, ShardEntry]) -> Dict[str, ShardEntry]:
        """Finished shards of a killed run whose bytes are still those it verified."""
        found = {}
        for name, entry in finished.items():
            path = os.path.join(self.folder, name)
            if os.path.exists(path) and os.path.getsize(path) == entry.size and digest_of(path) == entry.sha256:
                found[name] = entry
        return found

    def _plan_digest(self, base: WeightFolder, plan: StreamPlan) -> str:
        """What the output's bytes depend on: inputs by size, time and header, the operations, versions, dtypes,
        layout."""
        import peft
        import torch

        digest = hashlib.sha256()
        paths = [os.path.join(base.path, name) for name in base.files]
        paths += [os.path.join(one.folder, "adapter_model.safetensors") for one in sources(self.request)]
        stamps = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in paths]
        layout = [(file.name, file.size, hashlib.sha256(file.header).hexdigest()) for file in plan.files]
        operations = [encode(one.describe()) for one in plan.operations]
        weights = [one.weight for one in sources(self.request)]
        document: List[object] = [stamps, layout, operations, weights, self.device.kind, encode(self.request.quantized)]
        document += [torch.__version__, peft.__version__]
        digest.update(json.dumps(document, sort_keys=True).encode("utf-8"))
        return digest.hexdigest()

    def _result(
        self, base: WeightFolder, plan: StreamPlan, entries: Dict[str, ShardEntry], merger: Merger, resumed: List[str]
    ) -> StreamMergeResult:
        files = {name: entry.sha256 for name, entry in sorted(entries.items())}
        if self.index is not None and plan.index_name is not None:
            files[plan.index_name] = self.index
        sync_folder(self.folder)
        tensors = {name: value for entry in entries.values() for name, value in entry.tensors.items()}
        results = [result for entry in entries.values() for result in entry.results]
        changed = sum(len(one.outputs) for one in plan.operations)
        untouched = sum(entry.untouched for entry in entries.values())
        if len(results) != changed:
            raise KnownError("verification-failed", "%d of %d operations were checked" % (len(results), changed))
        stored = set(base.tensors)
        added = [name for name in tensors if name not in stored]
        written_anew = len([name for name in added if any(result.tensor == name for result in results)])
        used = {name for one in plan.operations for name in one.adapter_tensors}
        recomputed, equal = tally(results)
        facts = self.facts
        return StreamMergeResult(
            engine="stream",
            operations=tuple(one.describe() for one in plan.operations if one.outputs),
            untouched=untouched,
            changed=changed,
            files=files,
            tensors=tensors,
            config_updates=plan.config_updates,
            resumed=tuple(resumed),
            device=self.device,
            architecture=facts.architecture,
            base_rows=facts.base_rows,
            rows=facts.rows,
            untied=facts.untied,
            versions=facts.versions,
            accounting=facts.accounting,
            verification=StreamVerification(
                recomputed=recomputed,
                equal=equal,
                untouched=untouched,
                dequantized=sum(entry.dequantized for entry in entries.values()),
                changed=changed - written_anew,
                added=tuple(sorted(added)),
                dropped=(),
                not_recomputed=(),
                adapter_tensors_used=len(used),
                adapter_tensors_repeated=tuple(plan.repeated),
                untouched_equal=untouched,
                finite=True,
                calibration=merger.calibration.counts(),
            ),
            quantized=self.decoded,
        )


class ModelFacts(NamedTuple):
    """What the record of a merge says about the model, whichever engine made it."""

    architecture: str
    base_rows: Optional[int]
    rows: Optional[int]
    untied: bool
    versions: Dict[str, str]
    accounting: Accounting


def model_facts(skeleton: Skeleton, plan: StreamPlan) -> ModelFacts:
    rows = plan.config_updates.get("vocab_size", skeleton.base_rows)
    return ModelFacts(
        architecture=type(skeleton.inner).__name__,
        base_rows=skeleton.base_rows,
        rows=rows if isinstance(rows, int) else None,
        untied=plan.config_updates.get("tie_word_embeddings") is False,
        versions=versions(),
        accounting=Accounting(matched=len(skeleton.adapter), renamed=()),
    )


def changed_bytes(plan: StreamPlan) -> int:
    """Bytes of the output that operations write."""
    return sum(one.size for file in plan.files for one in file.segments if one.operation is not None)


class _Shards:
    """Writes shards in order while other threads verify what is written already."""

    def __init__(
        self,
        merge: _Merge,
        skeleton: Skeleton,
        plan: StreamPlan,
        *,
        merger: Merger,
        writer: Writer,
        journal: ShardJournal,
    ) -> None:
        self._folder = merge.folder
        self._skeleton = skeleton
        self._plan = plan
        self._merger = merger
        self._writer = writer
        self._journal = journal
        # Writing needs most of the cores; a digest of one file cannot be made by two.
        self._behind = max(1, merge.threads // 2)
        self._verifier = ShardVerifier(
            plan, merge.reader, at_once=self._behind + 1, hash_apart=(os.cpu_count() or 1) > _FEW_CORES
        )

    def run(self, files: List[OutputFile]) -> Dict[str, ShardEntry]:
        entries: Dict[str, ShardEntry] = {}
        pending: Deque[concurrent.futures.Future[ShardEntry]] = collections.deque()
        written = WrittenTensors()
        with concurrent.futures.ThreadPoolExecutor(max_workers=self._behind + 1) as pool:
            try:
                for file in files:
                    if len(pending) > self._behind:
                        self._finish(pending.popleft().result(), entries)
                    path, written = self._writer.begin(file), WrittenTensors()
                    pending.append(pool.submit(self._verify, file, path, written))
                    self._writer.fill(file, path, written)
                self._verifier.hash_apart = True
                while pending:
                    self._finish(pending.popleft().result(), entries)
            finally:
                written.end(complete=False)  # where Ctrl-C came before its tensors: no thread waits for them
                for one in pending:
                    one.cancel()
                self._verifier.close()
        return entries

    def _verify(self, file: OutputFile, path: str, written: WrittenTensors) -> ShardEntry:
        import torch

        with torch.no_grad():
            entry = self._verifier.verify(file, path, written)
            return entry._replace(results=tuple(self._recompute(file, path)))

    def _recompute(self, file: OutputFile, path: str) -> List[TensorCheck]:
        located = {segment.name: locate(segment, path) for segment in file.segments}
        recomputer = Recomputer(self._skeleton, self._merger, located)
        reader = Reader()
        results: List[TensorCheck] = []
        try:
            numbers = sorted({one.operation for one in file.segments if one.operation is not None})
            for number in numbers:
                recomputer.foresee(self._plan.operations[number], reader)
            for number in numbers:
                results += recomputer.check(self._plan.operations[number], reader)
        finally:
            reader.close()
        return results

    def _finish(self, entry: ShardEntry, entries: Dict[str, ShardEntry]) -> None:
        final = os.path.join(self._folder, entry.file)
        os.replace(final + ".part", final)
        sync_folder(self._folder)
        self._journal.add(entry)
        entries[entry.file] = entry
