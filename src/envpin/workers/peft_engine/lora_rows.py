"""An independent recomputation of sampled rows of merged tensors: W + Σ w·s·B·A in float64.

It shares no code with peft on purpose. Kinds other than plain LoRA on linear and embedding layers are named as not
recomputed; the answers of the reloaded model still judge them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Set

from ..runtime import methods
from ..runtime.bits import ulp
from ..runtime.scaling import installed_peft, scale_of

if TYPE_CHECKING:
    import torch

    from ..runtime.methods import AdapterConfig

_PREFIX = "base_model.model."
_PLAIN = ("lora_A.weight", "lora_B.weight", "lora_embedding_A", "lora_embedding_B")


class AdapterTensors(NamedTuple):
    """What a recomputation needs of an adapter: adapter_config.json, the tensors of its file by name, its weight."""

    config: AdapterConfig
    tensors: Dict[str, torch.Tensor]
    weight: float


class LoraPair(NamedTuple):
    """A and B of one layer. `plain`: the formula holds for this kind; `scale` is the scaling times the weight."""

    a: torch.Tensor
    b: torch.Tensor
    embedding: bool
    plain: bool
    scale: float

    @property
    def is_low(self) -> bool:
        """Whether A is in half precision."""
        return bool(self.a.element_size() < 4)


def explains(name: str, touched: Set[str]) -> bool:
    """Whether an adapter module stands behind the tensor `name`. Tied heads share their embedding's change."""
    module = name.rsplit(".", 1)[0]
    if any(_suffix(module, one) for one in touched):
        return True
    tables = {"lm_head", "embed_tokens"}
    return module.rsplit(".", 1)[-1] in tables and any(one.rsplit(".", 1)[-1] in tables for one in touched)


def _suffix(one: str, other: str) -> bool:
    """Equal, or one is the end of the other at a dot: checkpoints and modules may differ in their leading words."""
    return one == other or one.endswith("." + other) or other.endswith("." + one)


class RowRecomputer:
    """Checks sampled rows of one tensor after another and keeps the tally.

    `worst` is the largest error seen in units of what is allowed: half a unit in the last place of the stored dtype
    plus the bound of an fp32 sum of r products (Higham, Accuracy and Stability, section 3.1).
    """

    def __init__(self, adapters: List[AdapterTensors], rows: int) -> None:
        self._adapters = adapters
        self._wanted = rows
        self._peft = installed_peft()
        self.tensors = 0
        self.rows = 0
        self.worst = 0.0
        self.failed: List[str] = []
        self.skipped: List[str] = []
        self.unexplained: List[str] = []

    def check(self, name: str, base: torch.Tensor, merged: torch.Tensor) -> None:
        trained = self._trained(name)
        if trained is not None:
            self._check_replaced(name, trained, base, merged)
            return
        found = [self._pair(one, name.rsplit(".", 1)[0]) for one in self._adapters]
        pairs = [pair for pair in found if pair is not None]
        if not pairs or base.shape != merged.shape or base.dim() != 2 or self._is_wrapped_twice(name):
            self.skipped.append(name)
            return
        if any(not pair.plain or pair.is_low for pair in pairs):
            self.skipped.append(name)  # older peft rounds the delta itself: the bound below does not hold
            return
        import torch

        rows = self._sample(base.shape[0])
        exact = base[rows].double()
        allowed = torch.zeros_like(exact)
        for pair in pairs:
            first, second, scale = pair.a.double(), pair.b.double(), pair.scale
            left, right = (first.T[rows], second.T) if pair.embedding else (second[rows], first)
            delta = scale * (left @ right)
            size = abs(scale) * (left.abs() @ right.abs()) + exact.abs()
            exact = exact + delta
            # Each adapter is rounded once: what the sum so far is off by may lift it into the next binade.
            reached = exact.abs() + allowed
            allowed = allowed + 0.5 * ulp(reached, merged.dtype) + (first.shape[0] + 2) * 2.0**-24 * size
            if pair.embedding:  # recent peft rounds the delta to the base's dtype before it adds it
                allowed = allowed + 0.5 * ulp(delta, merged.dtype)
        error = float(
            ((merged[rows].double() - exact).abs() / allowed.clamp_min(torch.finfo(torch.float64).tiny)).max()
        )
        self.tensors += 1
        self.rows += len(rows)
        self.worst = max(self.worst, error)
        if error > 1.0:
            self.failed.append(name)

    def _is_wrapped_twice(self, name: str) -> bool:
        """Whether a wrapped module lies within another one here (`out_proj` of a MultiheadAttention): peft merges the
        two in a way of its own, and more than one pair may meet in a tensor."""
        module = name.rsplit(".", 1)[0] + "."
        for other in (key[len(_PREFIX) :] for one in self._adapters for key in one.tensors if ".base_layer." in key):
            within = ".lora_" in other.partition(".base_layer.")[2]
            if within and (other.replace(".base_layer.", ".").startswith(module) or other.startswith(module)):
                return True
        return False

    def check_added(self, name: str, merged: torch.Tensor) -> None:
        """A tensor that the base does not store (a head trained over tied embeddings, a new classifier)."""
        trained = self._trained(name)
        if trained is None:
            self.unexplained.append(name)
        else:
            self._check_replaced(name, trained, merged, merged)

    def check_grown(self, name: str, merged: torch.Tensor, candidates: List[torch.Tensor]) -> None:
        """A table whose last rows no file holds: the others are those of one of `candidates`, unchanged."""
        import torch

        self.tensors += 1
        self.rows += sum(int(one.shape[0]) for one in candidates[:1])
        if not any(torch.equal(merged[: one.shape[0]], one.to(merged.dtype)) for one in candidates):
            self.failed.append(name)

    def _trained(self, name: str) -> Optional[torch.Tensor]:
        """The adapter's own whole tensor for `name` (`modules_to_save`, a grown embedding), if it carries one."""
        module = name.rsplit(".", 1)[0]
        if any(self._pair(one, module) is not None for one in self._adapters):
            return None
        for one in self._adapters:
            for other, tensor in one.tensors.items():
                plain = other[len(_PREFIX) :] if other.startswith(_PREFIX) else other
                if ".original_module." not in other and _suffix(name, plain):
                    return tensor
        return None

    def _check_replaced(self, name: str, trained: torch.Tensor, base: torch.Tensor, merged: torch.Tensor) -> None:
        """Every row is the adapter's; rows past a shorter table are the base's."""
        import torch

        rows = trained.shape[0]
        same = torch.equal(merged[:rows], trained.to(merged.dtype))
        rest = merged.shape[0] == rows or torch.equal(merged[rows:], base[rows : merged.shape[0]])
        self.tensors += 1
        self.rows += int(merged.shape[0])
        if not (same and rest):
            self.failed.append(name)

    def _pair(self, adapter: AdapterTensors, module: str) -> Optional[LoraPair]:
        config, tensors = adapter.config, adapter.tensors
        plain = methods.is_additive(config)
        for name, tensor in tensors.items():
            for a, b, embedding in (
                ("lora_A.weight", "lora_B.weight", False),
                ("lora_embedding_A", "lora_embedding_B", True),
            ):
                if name.endswith("." + a):
                    path = name[len(_PREFIX) : -len(a) - 1]
                    partner = tensors.get(name[: -len(a)] + b)
                    if partner is not None and _suffix(module, path):
                        scale = adapter.weight * scale_of(config, path, tensor.shape[0], self._peft)
                        return LoraPair(tensor, partner, embedding, plain, scale)
        return None

    def _sample(self, count: int) -> List[int]:
        """The first, the last and evenly spread rows."""
        step = max(1, count // self._wanted)
        return sorted({0, count - 1, *range(0, count, step)})[: self._wanted + 2]
