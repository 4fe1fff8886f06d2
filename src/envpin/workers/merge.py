"""Verb `merge`: the engine `peft`. Loads the whole base, applies the adapter, merges with this environment's own peft,
and saves into a staging folder, proving each step before the next.

Request::

    {"base": folder, "adapter": folder, "staging": existing empty folder,
     "embedding": {"action": "keep" | "grow" | "overlay", "rows": N} | null,
     "architecture": class name the base was loaded as | null, "extra_tokens": [ids that training added],
     "answers": file to leave the adapter's answers in, "max_shard_size": "5GB" | null,
     "stamp": digest to write into each shard's metadata | null}

Result::

    {"base_rows", "rows", "accounting": {"matched": n, "renamed": [...]}, "probe": {"moved", "noise", "ratio"} | null,
     "probe_note": why there is no probe | null, "untied": bool, "architecture": class name, "versions": {...}}
"""

import os
from typing import Any, Dict, List, Optional

from . import accounting, answers, loading
from .protocol import Events, KnownError
from .stamp import stamp


def run(request: Dict[str, Any], events: Events) -> Dict[str, Any]:
    import torch

    loading.quiet()
    torch.manual_seed(0)
    with torch.no_grad():
        return _Merge(request, events).run()


class _Merge:
    """One merge, step by step. The state between the steps is what the next one needs."""

    def __init__(self, request: Dict[str, Any], events: Events) -> None:
        self.request = request
        self.events = events
        self.adapter_folder = str(request["adapter"])
        self.adapter_config = loading.read_json(os.path.join(self.adapter_folder, "adapter_config.json"))
        self.tensors = adapter_tensors(self.adapter_folder)
        self.probe_note: Optional[str] = None

    def run(self) -> Dict[str, Any]:
        base = self._load_base()
        rows = base.get_input_embeddings().weight.shape[0]
        batch = answers.inputs(rows)
        base_answers = self._ask(base, batch)
        wanted = self._fit_embedding(base, rows)
        self.events.step("load-adapter", "load the adapter", "start")
        model = loading.load_adapter(base, self._adapter_to_load(base, wanted))
        counted = self._account(model)
        self.events.step("load-adapter", "load the adapter", "done", "%d tensors, all in place" % len(self.tensors))
        adapter_answers = self._ask(model, batch)
        extended = self._extended_batch(rows, wanted)
        extended_answers = self._ask(model, extended) if extended else None
        self.events.step("merge", "merge with peft's own code", "start")
        merged = model.merge_and_unload()
        untied = untie_if_trained(merged)
        merged_answers = self._ask(merged, batch)
        probe = self._judge(base_answers, adapter_answers, merged_answers)
        self.events.step("merge", "merge with peft's own code", "done")
        self.events.step("save", "save to the staging folder", "start")
        loading.save(merged, str(self.request["staging"]), self.request.get("max_shard_size"))
        self._stamp()
        self.events.step("save", "save to the staging folder", "done")
        self._keep_answers(batch, base_answers, adapter_answers, extended, extended_answers)
        return {
            "base_rows": rows,
            "rows": merged.get_input_embeddings().weight.shape[0],
            "accounting": {"matched": len(counted["matched"]), "renamed": counted["renamed"]},
            "probe": probe,
            "probe_note": self.probe_note,
            "untied": untied,
            "architecture": type(merged).__name__,
            "versions": versions(),
        }

    def _load_base(self) -> Any:
        self.events.step("load-base", "load the base", "start")
        shapes = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        base = loading.load_base(
            str(self.request["base"]),
            self.adapter_config,
            self.request.get("architecture"),
            labels=loading.new_head_labels(self.adapter_config, shapes),
        )
        parameters = sum(parameter.numel() for parameter in base.parameters())
        detail = "%s, %.2f M parameters" % (type(base).__name__, parameters / 1e6)
        self.events.step("load-base", "load the base", "done", detail)
        return base

    def _fit_embedding(self, base: Any, rows: int) -> int:
        decision = self.request.get("embedding") or {"action": "keep"}
        if decision["action"] != "grow":
            return rows
        wanted = int(decision["rows"])
        # The new rows come from the adapter a moment later, so how they start does not matter.
        base.resize_token_embeddings(wanted)
        self.events.note("embedding grown from %d to %d rows, as the adapter has them" % (rows, wanted))
        return wanted

    def _adapter_to_load(self, base: Any, rows: int) -> str:
        """The adapter's folder, or a copy whose shorter embedding tables are laid over the base's."""
        decision = self.request.get("embedding") or {"action": "keep"}
        if decision["action"] != "overlay":
            return self.adapter_folder
        short = overlay_rows(base, self.tensors, rows)
        folder = os.path.join(os.path.dirname(str(self.request["answers"])), "overlaid-adapter")
        write_adapter(self.adapter_folder, folder, self.tensors)
        self.events.note("%d shorter tables laid over the base's first rows" % len(short))
        return folder

    def _account(self, model: Any) -> Dict[str, List[str]]:
        counted = accounting.account(model, self.tensors)
        if counted["lost"]:
            raise KnownError(
                "adapter-not-applied",
                "peft loaded the adapter but dropped %d of its %d tensors without an error"
                % (len(counted["lost"]), len(self.tensors)),
                tensors=counted["lost"][:200],
            )
        return counted

    def _ask(self, model: Any, batch: List[List[int]]) -> Any:
        if self.probe_note is not None:
            return None
        try:
            return answers.logits(model, batch)
        except Exception as error:  # models that want images or audio refuse text in ways of their own
            self.probe_note = "no text-only answers from %s: %s" % (
                type(model).__name__,
                loading.one_paragraph(error, 200),
            )
            return None

    def _extended_batch(self, rows: int, wanted: int) -> Optional[List[List[int]]]:
        extra = [token for token in self.request.get("extra_tokens") or [] if 0 <= token < wanted]
        extra += [token for token in range(rows, wanted) if token not in extra]
        return answers.inputs(rows, extra[:8]) if extra else None

    def _judge(self, base: Any, adapter: Any, merged: Any) -> Optional[Dict[str, Optional[float]]]:
        if base is None or adapter is None or merged is None:
            return None
        return answers.ratio(base, adapter, merged)

    def _stamp(self) -> None:
        if self.request.get("stamp"):
            for path in loading.tensor_files(str(self.request["staging"])):
                stamp(path, "envpin", str(self.request["stamp"]))

    def _keep_answers(self, batch: Any, base: Any, adapter: Any, extended: Any, extended_answers: Any) -> None:
        """Leave the answers for the verb `verify`, which asks the merged model again after reading it from disk."""
        import torch
        from safetensors.torch import save_file

        kept = {}
        if self.probe_note is None:
            kept = {"batch": torch.tensor(batch), "base": base.contiguous(), "adapter": adapter.contiguous()}
            if extended and extended_answers is not None:
                kept["extended_batch"] = torch.tensor(extended)
                kept["extended_adapter"] = extended_answers.contiguous()
        save_file(kept, str(self.request["answers"]))


def adapter_tensors(folder: str) -> Dict[str, Any]:
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


def untie_if_trained(model: Any) -> bool:
    """Declare the head untied where training made it differ from the embedding; True where that was needed.

    `save_pretrained` drops a head that the config calls tied, so a head trained over tied embeddings would be lost.
    """
    import torch

    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or table is None or not getattr(model.config, "tie_word_embeddings", False):
        return False
    one, other = head.weight, table.weight
    if one.data_ptr() == other.data_ptr() or (one.shape == other.shape and torch.equal(one, other)):
        return False
    for config in (model.config, getattr(model.config, "text_config", None)):
        if config is not None:
            config.tie_word_embeddings = False
    return True


def overlay_rows(base: Any, tensors: Dict[str, Any], rows: int) -> List[str]:
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


def write_adapter(source: str, folder: str, tensors: Dict[str, Any]) -> None:
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
