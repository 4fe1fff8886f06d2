"""Verb `prove` (request.py says what it is asked): every tensor of a merged model held against base and adapter.

Nothing is taken from whoever merged. The formula of the common kinds is written out here and shares no code with peft;
what is not known here is merged again by the environment's own peft, or named as not compared.
"""

import os
from typing import Dict, Iterable, List, Optional, Set

from ..protocol import Events, KnownError
from ..requests import ProveRequest
from ..results import JudgedTensor, ProveResult, TensorCounts
from ..runtime import scaling
from ..runtime.admitted import admit
from ..runtime.bits import lengthened_by_zeros
from ..runtime.loading import read_json
from ..stream.io.files import StoredTensor, WeightFolder, torch_dtype
from ..stream.io.reader import Reader
from . import by_peft, changes, tables, tally, whole, wrapped
from .causes import Causes, Suspect
from .changes import TensorChange
from .expected import Expected, Files, UnfitError
from .folders import tensors_of
from .judge import FLOATS, Judge
from .names import Names, paired
from .ways import Dtypes

_KEY = "prove"
# Tables and counters that releases store or leave out as they like; no adapter trains them.
_BUFFERS = (
    "inv_freq",
    "masked_bias",
    "position_ids",
    "num_batches_tracked",
    "rotary_pos_emb",
    "attn.bias",
    "attention.bias",
)
_NEW_HEADS = {"SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"}


def run(request: ProveRequest, events: Events) -> ProveResult:
    import torch

    reader = Reader()
    try:
        with torch.no_grad():
            return _Proof(request, events, reader).run()
    finally:
        reader.close()


class _Proof:
    def __init__(self, asked: ProveRequest, events: Events, reader: Reader) -> None:
        self.asked = asked
        self.events = events
        self.reader = reader
        self.notes: List[str] = []
        self.base = self._base()
        self.merged = self._merged()
        self.adapter = tensors_of(asked.adapter)
        self.config = read_json(os.path.join(asked.adapter.folder, "adapter_config.json"))
        admit(self.config, [name.rpartition(".")[0] for name in self.adapter])
        self.pairs = paired(self.base, self.merged)
        self.names = Names(self.base)
        self.theirs = Names(self.merged)
        self.tables = tables.find(self.base)
        self.judge = Judge(reader)
        self.usual = "F32"
        self.verdicts: Dict[str, JudgedTensor] = {}
        self.suspects: List[Suspect] = []
        self.expected: Dict[str, Expected] = {}
        self.unplaced: Dict[str, str] = {}
        self.tied_change = False

    def _merged(self) -> Dict[str, StoredTensor]:
        """The merged model's tensors, without peft's wrappers in their names."""
        found = tensors_of(self.asked.merged)
        self.wrapped = wrapped.find(found)
        plain = {stored: name for name, stored in self.wrapped.stored.items()}
        self.notes += [
            "`%s` is a copy that peft keeps next to what was trained: not compared" % name
            for name in self.wrapped.copies
        ]
        return {plain.get(name, name): one for name, one in found.items() if name not in self.wrapped.copies}

    def _base(self) -> Dict[str, StoredTensor]:
        """The base's tensors; of a quantized base, the plain ones that it stands for, where its format is known."""
        if self.asked.quantized is None:
            return tensors_of(self.asked.base)
        from ..stream.quantized import unpack

        folder = WeightFolder(self.asked.base.folder)
        try:
            decoders = unpack(folder, self.asked.quantized.config)
            self.notes.append("%d tensors of the base are quantized, and were decoded" % len(decoders))
        except KnownError as error:
            self.notes.append("the base is quantized, and not all of it can be decoded: %s" % error.message)
        return folder.tensors

    def run(self) -> ProveResult:
        shapes = {name: one.shape for name, one in self.adapter.items()}
        known = changes.read(self.config, shapes, scaling.installed_peft())
        self.events.step(_KEY, "compare every tensor with base and adapter", "start")
        self.total = len(self.base)
        mine = {self._name_of(one.key): one for one in known}
        self.usual = self._usual_dtype(mine)
        left = {name: one for name, one in mine.items() if one.kind == "by-peft"}
        for name in sorted(mine):
            if mine[name].kind != "by-peft":
                self._changed(name, mine[name], left)
        if left:
            self._by_peft(left)
        self._tables(mine)
        for number, name in enumerate(sorted(self.base)):
            self.events.progress(_KEY, number + 1, self.total, "tensors")
            if name not in self.verdicts:
                self._untouched(name)
        self._extra()
        self._find_causes()
        self._name_wrapped()
        counts = tally.counts(self.verdicts.values())
        words = ("equal", "within rounding", "not compared", "wrong")
        detail = ", ".join("%d %s" % (count, word) for word, count in zip(words, counts) if count)  # noqa: B905
        self.events.step(_KEY, "compare every tensor with base and adapter", "done", detail)
        return self._result(counts)

    def _usual_dtype(self, mine: Dict[str, TensorChange]) -> str:
        """What the merged model is stored in, by the tensors that the adapter leaves alone: some releases of peft leave
        float32 behind in those that it changes."""
        alone = {self.pairs[name] for name in self.pairs if name not in mine} or set(self.merged)
        found = tally.dtypes({name: self.merged[name] for name in alone if self.merged[name].dtype in FLOATS})
        return max(sorted(found), key=lambda one: found[one]) if found else "F32"

    # one tensor each -------------------------------------------------------------------------------------------------

    def _name_of(self, key: str) -> str:
        """The base's name of a tensor that the adapter changes; its own name where the base does not store it."""
        other_head = self.tables.head if tables.is_head(key) else None  # `lm_head` of today was `embed_out`
        return self.names.find(key) or other_head or key

    def _stored(self, name: str) -> Optional[StoredTensor]:
        """The merged model's tensor for a name of the base."""
        found = self.pairs.get(name) if name in self.base else self.theirs.find(name)
        return self.merged[found] if found is not None else None

    def _changed(self, name: str, change: TensorChange, left: Dict[str, TensorChange]) -> None:
        if change.kind == "scaled" and name not in self.base:
            return  # a layer without a bias
        stored = self._stored(name)
        start = self._start(name, change)
        if stored is None and tables.is_head(name) and name not in self.base:
            return  # settled with the tables
        if stored is None and self._is_shared(name, change):
            self.verdicts[name] = JudgedTensor(name, "equal", True, way="stored once, for the two that share it")
        elif stored is None and (name in self.base or change.kind == "whole"):
            self._set(name, "wrong", cause="missing", why="the merged model does not have it")
        elif stored is None or (start is None and change.kind != "whole"):
            left[name] = change._replace(kind="by-peft", why="the base stores it in another form")
        elif change.kind == "whole":
            brought = self.adapter[str(change.start)]
            self.verdicts[name] = self.judge.whole(name, brought, self.base.get(name), stored)
        elif stored.dtype not in FLOATS or (start is not None and start.dtype not in FLOATS):
            kind = stored.dtype if stored.dtype not in FLOATS else "%s in the base" % (start.dtype if start else "")
            self._set(name, "not-compared", why="it is quantized (%s)" % kind)
        elif change.kind == "rows" and start is not None:
            brought = self.adapter[str(change.left)]
            self.verdicts[name] = self.judge.some_rows(name, brought, change.indices, start, stored)
        elif start is not None:
            self._recomputed(name, change, start, stored, left)

    def _is_shared(self, name: str, change: TensorChange) -> bool:
        """Whether the merged model holds what the adapter brings under the name of the tensor that it is tied to."""
        other = tables.shares(name, self.tables.embedding)
        stored = self._stored(other) if other is not None and change.kind == "whole" and name not in self.base else None
        return stored is not None and self._is_same(self.adapter[str(change.start)], stored)

    def _start(self, name: str, change: TensorChange) -> Optional[StoredTensor]:
        if change.start is not None and change.kind != "whole":
            return self.adapter[change.start]
        if name not in self.base and tables.is_head(name) and self.tables.embedding is not None:
            return self.base[self.tables.embedding]  # a head that the base ties to its embedding
        return self.base.get(name)

    def _recomputed(
        self, name: str, change: TensorChange, start: StoredTensor, stored: StoredTensor, left: Dict[str, TensorChange]
    ) -> None:
        if stored.shape[1:] != start.shape[1:] or len(stored.shape) != len(start.shape):
            why = "it is %s, and %s in the base" % (list(stored.shape), list(start.shape))
            self._set(name, "wrong", cause="other-shape", why=why)
            return
        expected = Expected(change, start, Files(self.adapter, self.base, self.reader), stored.shape)
        try:
            dtypes = Dtypes(
                base=torch_dtype(start.dtype),
                merged=torch_dtype(stored.dtype),
                usual=torch_dtype(self.usual),
                adapter=torch_dtype(self.adapter[str(change.left)].dtype),
            )
            self.verdicts[name], unclear = self.judge.changed(name, expected, stored, dtypes)
        except UnfitError as error:
            left[name] = change._replace(kind="by-peft", why=str(error))
            return
        self.expected[name] = expected
        if unclear:
            self.suspects.append(Suspect(name, expected, stored, dtypes))

    def _by_peft(self, left: Dict[str, TensorChange]) -> None:
        self.events.note("peft merges %d layers again that are no plain LoRA" % len(left))
        found = by_peft.plan(self.asked, self.reader)
        if isinstance(found, str):
            self._by_whole_merge(left)
            return
        try:
            wanted = self._wanted(found.outputs)
            self.verdicts.update(by_peft.judge(found, wanted, self.base, self.reader))
        finally:
            found.merger.close()

    def _by_whole_merge(self, left: Dict[str, TensorChange]) -> None:
        self.events.note("peft merges the whole model again, in memory")
        found = whole.merge(self.asked)
        if isinstance(found, str):
            self._not_by_peft(left, found)
            return
        named = set(left) & set(found.made)
        wanted = self._wanted([*whole.changed(found, self.base, self.reader), *named])
        self.verdicts.update(whole.judge(found, wanted, self.base, self.reader))
        self._not_by_peft(
            whole.unseen(left, found), "a merge of the whole model has it under no name of the base's files"
        )

    def _wanted(self, names: Iterable[str]) -> Dict[str, StoredTensor]:
        """The merged model's tensors for names of the base that have no verdict yet."""
        wanted = {}
        for name in set(names) - set(self.verdicts):
            stored = self._stored(name)
            if stored is None:
                self._set(name, "wrong", cause="missing", why="the merged model does not have it")
            elif stored.dtype in FLOATS:
                wanted[name] = stored
            else:
                self._set(name, "not-compared", why="it is quantized (%s)" % stored.dtype)
        return wanted

    def _not_by_peft(self, left: Dict[str, TensorChange], reason: str) -> None:
        """What the adapter changes in a way that only peft knows, where this environment's does not say how."""
        for name, change in left.items():
            if name not in self.base:
                self.unplaced[change.module] = reason
            for one in dict.fromkeys((name, change.module + ".bias")):
                if (one in self.base or one == name) and one not in self.verdicts:
                    self._set(one, "not-compared", why="%s; %s" % (change.why, reason))

    def _untouched(self, name: str) -> None:
        stored = self._stored(name)
        if stored is not None:
            base = self.base[name]
            if self._is_longer_bias(name, base, stored):
                self.verdicts[name] = JudgedTensor(name, "equal", way="lengthened by zeros, as the vocabulary grew")
            elif base.shape[1:] != stored.shape[1:] or len(base.shape) != len(stored.shape):
                why = "it is %s, and %s in the base" % (list(stored.shape), list(base.shape))
                self._set(name, "wrong", changed=False, cause="other-shape", why=why)
            else:
                self.verdicts[name] = self._unless_unplaced(self.judge.untouched(name, base, stored))
        elif name.endswith(_BUFFERS):
            self.notes.append("`%s` is a buffer that the merged model does not store" % name)
        elif self.config.get("task_type") in _NEW_HEADS and tables.belongs_to_a_head(name, self.base, self.merged):
            self.notes.append("`%s` belongs to a head that this adapter's model does not have" % name)
        else:
            self._set(name, "wrong", changed=False, cause="missing", why="the merged model does not have it")

    def _is_longer_bias(self, name: str, base: StoredTensor, stored: StoredTensor) -> bool:
        """A bias over the tokens, of a vocabulary that grew."""
        grown = self.asked.embedding.grown
        if grown is None or not name.endswith("bias") or stored.shape[-1:] != (grown,) or base.dtype != stored.dtype:
            return False
        return lengthened_by_zeros(self.reader.whole(stored), self.reader.whole(base))

    def _unless_unplaced(self, verdict: JudgedTensor) -> JudgedTensor:
        """No claim about a difference that may be the change of a module which the base's files call otherwise."""
        for module, reason in self.unplaced.items() if verdict.state == "wrong" else ():
            inside = module + "."
            if verdict.tensor.startswith(inside) or not any(name.startswith(inside) for name in self.base):
                why = "it differs from the base, and may be part of `%s`; %s" % (module, reason)
                return JudgedTensor(verdict.tensor, "not-compared", True, why=why)
        return verdict

    # tables ----------------------------------------------------------------------------------------------------------

    def _tables(self, mine: Dict[str, TensorChange]) -> None:
        """Embedding and head of a base that stores one table for both, or two equal ones."""
        embedding, head = self.tables
        if embedding is None or self.config.get("task_type") in _NEW_HEADS:
            return
        key = (
            head
            or next((name for name in mine if tables.is_head(name)), None)
            or self._their_head()
            or "lm_head.weight"
        )
        change = mine.get(key)
        follows = change is None and tables.head_follows(mine.get(embedding), self.config)
        if self._brought_twice(change, mine.get(embedding)):
            follows, change = True, None
        there = self._stored(key)
        if head is not None:
            if there is None and self._is_twice(embedding, head):
                self._tied_on_the_way(key, follows)
            return
        if not self.asked.base_is_tied and there is None:
            return  # a model without a head
        if there is None:
            self._tied_on_the_way(key, follows)
            if change is not None:
                self.tied_change = change.kind == "low-rank"
                self._heads_change_in_the_embedding(embedding, change, mine)
        elif follows:
            self._copy_of_the_embedding(key, embedding, there)
        else:
            if change is None:
                self.verdicts[key] = self.judge.untouched(key, self.base[embedding], there)
            if self.asked.merged_is_tied and self.verdicts.get(key, JudgedTensor(key, "wrong")).state != "wrong":
                why = "it is right, but config.json ties it to the embedding, which is another table now"
                self._set(key, "wrong", cause="head-tied", why=why)

    def _brought_twice(self, head: Optional[TensorChange], embedding: Optional[TensorChange]) -> bool:
        """Whether the adapter brings one table, or its rows, under both names, as peft saves tied ones."""
        if head is None or embedding is None or head.kind != embedding.kind or head.indices != embedding.indices:
            return False
        if head.kind not in ("whole", "rows"):
            return False
        pairs = [(head.start, embedding.start), (head.left, embedding.left)]
        given = [(self.adapter.get(str(one)), self.adapter.get(str(other))) for one, other in pairs]
        return all(one is other or (one and other and self._is_same(one, other)) for one, other in given)

    def _their_head(self) -> Optional[str]:
        return tables.find(self.merged).head

    def _is_twice(self, embedding: str, head: str) -> bool:
        return self._is_same(self.base[embedding], self.base[head])

    def _is_same(self, one: StoredTensor, other: StoredTensor) -> bool:
        return one.shape == other.shape and self.judge.untouched(one.name, one, other).state == "equal"

    def _tied_on_the_way(self, key: str, follows: bool) -> None:
        if follows and self.asked.merged_is_tied:
            self.verdicts[key] = JudgedTensor(key, "equal", way="tied to the embedding")
        elif follows:
            self._set(key, "wrong", changed=False, cause="missing", why="config.json does not tie it to the embedding")
        else:
            why = "it is tied to the embedding, and training moved the two apart"
            self._set(key, "wrong", cause="head-tied", why=why)

    def _heads_change_in_the_embedding(
        self, embedding: str, change: TensorChange, mine: Dict[str, TensorChange]
    ) -> None:
        stored = self._stored(embedding)
        if embedding in mine or stored is None or change.kind != "low-rank":
            return
        before, self.suspects = self.suspects, []
        self._recomputed(embedding, change, self.base[embedding], stored, {})
        if self.verdicts[embedding].state == "wrong":
            del self.verdicts[embedding]
        else:
            why = "the head's change is in the embedding too: they are tied"
            self._set(embedding, "wrong", cause="head-tied", why=why)
        self.expected.pop(embedding, None)
        self.suspects = before

    def _copy_of_the_embedding(self, key: str, embedding: str, there: StoredTensor) -> None:
        table = self._stored(embedding)
        if table is None:
            return
        same = self.judge.untouched(key, table, there)
        if same.state == "equal":
            self.verdicts[key] = JudgedTensor(key, "equal", way="a copy of the embedding")
        else:
            why = "the base ties it to the embedding; here it differs"
            self._set(key, "wrong", changed=False, cause="head-untied", why=why)

    # the end ---------------------------------------------------------------------------------------------------------

    def _extra(self) -> None:
        used: Set[str] = set(self.pairs.values())
        used |= {found for found in map(self.theirs.find, self.verdicts) if found is not None}
        own = wrapped.own_names(self.adapter)
        for name in sorted(set(self.merged) - used):
            if name.endswith(_BUFFERS):
                self.notes.append("`%s` is a buffer that the base does not store" % name)
            elif self._is_the_base_table(name):
                self.notes.append("`%s` is the base's embedding, which the base stores once" % name)
            elif wrapped.is_of_adapter(name, own):
                why = "it is the adapter's own, which a merge leaves out"
                self._set(name, "wrong", changed=False, cause="unmerged", why=why)
            else:
                why = "neither the base nor the adapter has it"
                self._set(name, "wrong", changed=False, cause="extra", why=why)

    def _is_the_base_table(self, name: str) -> bool:
        """T5's encoder and decoder keep the base's table where an adapter brings another under its shared name."""
        table = self.tables.embedding
        return table is not None and tables.is_embedding(name) and self._is_same(self.merged[name], self.base[table])

    def _find_causes(self) -> None:
        causes = Causes(self.judge, self.reader, self.expected)
        for suspect in self.suspects:
            found = causes.find(suspect)
            if suspect.name == self.tables.embedding and self.tied_change and found.cause == "other-base":
                why = "the change is in it, on top of another: most likely that of the head, which is tied to it"
                found = found._replace(cause="head-tied", why=why)
            self.verdicts[suspect.name] = found
        for name, verdict in list(self.verdicts.items()):
            if verdict.cause == "differs-from-base" and not verdict.changed and name in self.base:
                stored = self._stored(name)
                if stored is not None and stored.dtype in FLOATS:
                    self.verdicts[name] = causes.of_untouched(verdict, self.base[name], stored)

    def _name_wrapped(self) -> None:
        for name in list(self.verdicts) if self.wrapped.stored else ():
            found = self.pairs.get(name) if name in self.base else self.theirs.find(name)
            self.verdicts[name] = wrapped.judged(self.verdicts[name], self.wrapped.stored.get(found or name))

    def _set(self, name: str, state: str, *, changed: bool = True, cause: Optional[str] = None, why: str = "") -> None:
        self.verdicts[name] = JudgedTensor(name, state, changed, cause=cause, why=why or None)

    def _result(self, counts: TensorCounts) -> ProveResult:
        import torch

        judged = [self.verdicts[name] for name in sorted(self.verdicts)]
        ways: Dict[str, int] = {}
        for one in judged:
            if one.way is not None and one.state != "wrong" and one.changed:
                ways[one.way] = ways.get(one.way, 0) + 1
        return ProveResult(
            counts=counts,
            changed=tally.counts(one for one in judged if one.changed),
            lost=tuple(one.tensor for one in judged if one.lost),
            ways=ways,
            listed=tuple(tally.finite(one) for one in judged if one.state in ("wrong", "not-compared")),
            tensors={one.tensor: one.state for one in judged},
            notes=tuple(self.notes),
            base_dtypes=tally.dtypes(self.base),
            merged_dtypes=tally.dtypes(self.merged),
            torch=torch.__version__,
        )
