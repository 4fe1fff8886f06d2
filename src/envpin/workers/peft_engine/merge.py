"""Verb `merge`: the engine `peft`. Loads the whole base, applies the adapter, merges with this environment's own peft,
and saves into a staging folder, proving each step before the next.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Tuple, Union

from ..protocol import Events, KnownError
from ..requests import EmbeddingFit, MergeRequest
from ..results import Accounting, DeviceUsed, MergeResult, ProbeFigures
from ..runtime import accounting, answers, device, loading
from ..runtime.accounting import LoadWatch
from ..runtime.several import Source, WeightedAdapters, sources, trained_tokens
from ..runtime.stamp import stamp
from . import reproducible, saving

if TYPE_CHECKING:
    import peft
    import torch
    import transformers

    Model = Union[transformers.PreTrainedModel, peft.PeftModel]


class LoadedAdapter(NamedTuple):
    """An adapter of a merge with all its tensors, by the names that its file gives them."""

    source: Source
    tensors: Dict[str, torch.Tensor]

    @property
    def shapes(self) -> Dict[str, Tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}


def run(request: MergeRequest, events: Events) -> MergeResult:
    import torch

    loading.quiet()
    torch.manual_seed(0)
    with torch.no_grad():
        return _Merge(request, events).run()


class _Merge:
    """One merge, step by step. The state between the steps is what the next one needs."""

    def __init__(self, request: MergeRequest, events: Events) -> None:
        self.request = request
        self.events = events
        self.adapters = read_adapters(request)
        self.adapter_config = loading.read_json(os.path.join(request.adapter, "adapter_config.json"))
        self.probe_note: Optional[str] = None
        self.given: List[Source] = []
        self.labels = loading.labels_of([(one.source.folder, one.shapes) for one in self.adapters])
        names = [name for one in self.adapters for name in one.tensors]
        self.architecture, self.own_class = saving.class_of(request, self.adapter_config, self.labels, names)

    def run(self) -> MergeResult:
        import torch

        unusual = reproducible.settle([one.source for one in self.adapters])
        self.device = self._choose_device()
        other = self._digests_with_another_seed() if unusual else None
        base = self._load_base()
        tied = bool(getattr(base.config, "tie_word_embeddings", False))
        rows = answers.embedding_rows(base)
        batch = answers.inputs_for(base, rows, trained_tokens(self.request, rows))
        base_answers = self._ask(base, batch)
        wanted = self._fit_embedding(base, rows)
        title = "load the adapter" if len(self.adapters) == 1 else "load %d adapters" % len(self.adapters)
        self.events.step("load-adapter", title, "start")
        watches = [LoadWatch() for _ in self.adapters]
        model = self._load_adapters(base, wanted, seed=0, watches=watches)
        counted = self._account(model, watches)
        changing = reproducible.units_of(model)
        held = sum(len(one.tensors) for one in self.adapters)
        self.events.step("load-adapter", title, "done", "%d tensors, all in place" % held)
        adapter_answers = self._ask(model, batch)
        extended = self._extended_batch(base, rows, wanted)
        extended_answers = self._ask(model, extended) if extended else None
        self.events.step("merge", "merge with peft's own code", "start")
        merged = reproducible.merge(model)
        if other is not None:
            reproducible.refuse_chance(other, reproducible.digests(merged), unusual)
        # peft itself says so in the config from 0.19 on.
        untied = untie_if_trained(merged) or (tied and not getattr(merged.config, "tie_word_embeddings", False))
        merged_answers = self._ask(merged, batch)
        probe = self._judge(base_answers, adapter_answers, merged_answers)
        self.events.step("merge", "merge with peft's own code", "done")
        self.events.step("save", "save to the staging folder", "start")
        saving.save(merged, self.request, whole=self.own_class or self.labels is not None)
        self._stamp()
        self.events.step("save", "save to the staging folder", "done")
        kept: Dict[str, torch.Tensor] = {}
        if base_answers is not None and adapter_answers is not None:
            kept = {"batch": torch.tensor(batch), "base": base_answers, "adapter": adapter_answers}
            if extended and extended_answers is not None:
                kept.update(extended_batch=torch.tensor(extended), extended_adapter=extended_answers)
        self._keep_answers(kept)
        return MergeResult(
            base_rows=rows,
            rows=answers.embedding_rows(merged),
            accounting=counted,
            probe=probe,
            probe_note=self.probe_note,
            untied=untied,
            architecture=type(merged).__name__,
            versions=versions(),
            device=self.device,
            touched=tuple(reproducible.touched(merged, changing, watches, self.given, self.request.base)),
            unusual=tuple(unusual),
            made_rows=reproducible.made_rows(merged, rows, watches, self.given),
        )

    def _load_adapters(
        self, base: transformers.PreTrainedModel, rows: Optional[int], *, seed: int, watches: List[LoadWatch]
    ) -> peft.PeftModel:
        import torch

        if not self.given:
            scratch = os.path.dirname(self.request.answers)
            self.given = to_load(base, self.adapters, self.request.embedding, scratch=scratch, rows=rows or 0)
        torch.manual_seed(seed)
        return loading.load_adapters(base, self.given, watches)

    def _digests_with_another_seed(self) -> Dict[str, str]:
        """What the merge would be if torch's random numbers fell otherwise, as digests of its tensors."""
        self.events.note("peft itself merges this adapter; it is loaded twice, to see whether chance has a part in it")
        base = self._load_base()
        wanted = self._fit_embedding(base, answers.embedding_rows(base))
        return reproducible.digests(reproducible.merge(self._load_adapters(base, wanted, seed=1, watches=[])))

    def _choose_device(self) -> DeviceUsed:
        """The device; a model that is merged there has to fit, with the float32 delta of its largest tensor."""
        sizes = [os.path.getsize(path) for path in loading.tensor_files(self.request.base)]
        found = device.choose(self.request.device, sum(sizes), int(1.2 * sum(sizes)))
        if found.is_cuda or self.request.device == "auto":
            self.events.note("computing on %s: %s" % (found.label, found.reason))
        return found

    def _load_base(self) -> transformers.PreTrainedModel:
        self.events.step("load-base", "load the base", "start")
        base = loading.load_base(
            self.request.base,
            self.adapter_config,
            self.architecture,
            labels=self.labels,
            quantized=self.request.quantized,
        )
        if self.device.is_cuda:
            base = base.to("cuda")
        parameters = sum(parameter.numel() for parameter in base.parameters())
        detail = "%s, %.2f M parameters" % (type(base).__name__, parameters / 1e6)
        self.events.step("load-base", "load the base", "done", detail)
        return base

    def _fit_embedding(self, base: transformers.PreTrainedModel, rows: Optional[int]) -> Optional[int]:
        import torch

        wanted = self.request.embedding.grown
        if wanted is None:
            return rows
        # Most new rows come from the adapter a moment later; those of a head that was not saved stay as they are made
        # here, and recent transformers draws them at random around the mean.
        torch.manual_seed(0)
        base.resize_token_embeddings(wanted)
        self.events.note("embedding grown from %s to %d rows, as the adapter has them" % (rows, wanted))
        return wanted

    def _account(self, model: peft.PeftModel, watches: List[LoadWatch]) -> Accounting:
        matched = 0
        renamed: List[str] = []
        for one, watch in zip(self.adapters, watches):  # noqa: B905 (Python 3.8 has no strict=)
            counted = accounting.account(model, one.tensors, one.source.name, watch)
            if counted.lost:
                raise KnownError(
                    "adapter-not-applied",
                    "peft loaded the adapter `%s` but dropped %d of its %d tensors without an error"
                    % (os.path.basename(one.source.folder), len(counted.lost), len(one.tensors)),
                    tensors=counted.lost[:200],
                )
            matched += len(counted.matched) + len(counted.converted)
            renamed += [one.source.prefix + name for name in counted.renamed]
        return Accounting(matched, tuple(renamed))

    def _ask(self, model: Model, batch: List[List[int]]) -> Optional[torch.Tensor]:
        if self.probe_note is not None:
            return None
        try:
            return answers.logits(model, batch)
        except Exception as error:  # models that want images or audio refuse text in ways of their own
            self.probe_note = "no answers to text, sound or pixels alone from %s: %s" % (
                type(model).__name__,
                loading.one_paragraph(error, 200),
            )
            return None

    def _extended_batch(
        self, base: transformers.PreTrainedModel, rows: Optional[int], wanted: Optional[int]
    ) -> Optional[List[List[int]]]:
        if rows is None or wanted is None:
            return None
        extra = [token for token in self.request.extra_tokens if 0 <= token < wanted]
        extra += [token for token in range(rows, wanted) if token not in extra]
        return answers.inputs_for(base, rows, extra[:8]) if extra else None

    def _judge(
        self, base: Optional[torch.Tensor], adapter: Optional[torch.Tensor], merged: Optional[torch.Tensor]
    ) -> Optional[ProbeFigures]:
        if base is None or adapter is None or merged is None:
            return None
        return answers.ratio(base, adapter, merged)

    def _stamp(self) -> None:
        value = self.request.cuda_stamp if self.device.is_cuda else self.request.stamp
        if value:
            for path in loading.tensor_files(self.request.staging):
                stamp(path, "envpin", value)

    def _keep_answers(self, kept: Dict[str, torch.Tensor]) -> None:
        """Leave the logits for the verb `verify`, which asks the merged model again after reading it from disk."""
        from safetensors.torch import save_file

        whole = {name: tensor.contiguous() for name, tensor in kept.items()} if self.probe_note is None else {}
        save_file(whole, self.request.answers)


def read_adapters(request: WeightedAdapters) -> List[LoadedAdapter]:
    return [LoadedAdapter(one, adapter_tensors(one.folder)) for one in sources(request)]


def to_load(
    base: transformers.PreTrainedModel,
    adapters: List[LoadedAdapter],
    embedding: EmbeddingFit,
    *,
    scratch: str,
    rows: int,
) -> List[Source]:
    """The adapters' folders; where the embedding is laid over, copies whose shorter tables are as long as the base's.
    The tensors of `adapters` are lengthened too."""
    if embedding.action != "overlay":
        return [one.source for one in adapters]
    found = []
    for one in adapters:
        overlay_rows(base, one.tensors, rows)
        folder = os.path.join(scratch, "overlaid-" + one.source.name)
        write_adapter(one.source.folder, folder, one.tensors)
        found.append(one.source._replace(folder=folder))
    return found


def adapter_tensors(folder: str) -> Dict[str, torch.Tensor]:
    """Every tensor of an adapter folder, by the name that its file gives it.

    Raises:
        KnownError: `pickle-weights` where only a pickle is there; it is never opened.
    """
    from safetensors import safe_open

    path = os.path.join(folder, "adapter_model.safetensors")
    if not os.path.exists(path):
        raise KnownError("pickle-weights", "`%s` has no adapter_model.safetensors" % folder, path=folder)
    with safe_open(path, framework="pt", device="cpu") as reader:
        return {name: reader.get_tensor(name) for name in reader.keys()}


def untie_if_trained(model: transformers.PreTrainedModel) -> bool:
    """Declare the head untied where training made it differ from the embedding; True where that was needed.

    `save_pretrained` drops a head that the config calls tied, so a head trained over tied embeddings would be lost.
    """
    import torch

    if answers.embedding_rows(model) is None or not getattr(model.config, "tie_word_embeddings", False):
        return False
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None:
        return False
    one, other = head.weight, table.weight
    if one.data_ptr() == other.data_ptr() or (one.shape == other.shape and torch.equal(one, other)):
        return False
    for config in (model.config, getattr(model.config, "text_config", None)):
        if config is not None:
            config.tie_word_embeddings = False
    return True


def overlay_rows(base: transformers.PreTrainedModel, tensors: Dict[str, torch.Tensor], rows: int) -> List[str]:
    """Lengthen every embedding or head table of the adapter to `rows` with the base's own last rows, in place."""
    import torch

    tables = {"embed_tokens": base.get_input_embeddings(), "lm_head": base.get_output_embeddings()}
    changed = []
    for name in sorted(tensors):
        module = next((tables[key] for key in tables if name.endswith(key + ".weight")), None)
        if module is None or tensors[name].shape[0] >= rows or tensors[name].dim() != 2:
            continue
        tail = module.weight[tensors[name].shape[0] :].to(tensors[name].dtype)
        tensors[name] = torch.cat([tensors[name], tail]).contiguous()
        changed.append(name)
    return changed


def write_adapter(source: str, folder: str, tensors: Dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    os.makedirs(folder)
    with open(os.path.join(source, "adapter_config.json"), "rb") as stream:
        config = stream.read()
    with open(os.path.join(folder, "adapter_config.json"), "wb") as stream:
        stream.write(config)
    save_file(tensors, os.path.join(folder, "adapter_model.safetensors"), metadata={"format": "pt"})


def versions() -> Dict[str, str]:
    import peft
    import torch
    import transformers

    return {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
