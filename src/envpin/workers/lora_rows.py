"""An independent recomputation of sampled rows of merged tensors: W + s·B·A in float64.

It shares no code with peft on purpose. Kinds other than plain LoRA on linear and embedding layers are named as not
recomputed; the answers of the reloaded model still judge them.
"""

import math
import re
from typing import Any, Dict, List, Optional, Set

_PREFIX = "base_model.model."
_PLAIN = ("lora_A.weight", "lora_B.weight", "lora_embedding_A", "lora_embedding_B")


def touched_tensors(tensors: Dict[str, Any]) -> Set[str]:
    """Module paths that the adapter's tensors belong to, without peft's prefix."""
    found = set()
    for name in tensors:
        plain = name[len(_PREFIX) :] if name.startswith(_PREFIX) else name
        found.add(re.split(r"\.(?:lora_|ia3_|hada_|lokr_|oft_|boft_|vera_|token_adapter|base_layer)", plain)[0])
    return {module[: -len(".weight")] if module.endswith(".weight") else module for module in found}


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


class Recomputer:
    """Checks sampled rows of one tensor after another and keeps the tally.

    `worst` is the largest error seen in units of what is allowed: half a unit in the last place of the stored dtype
    plus the bound of an fp32 sum of r products (Higham, Accuracy and Stability, section 3.1).
    """

    def __init__(self, config: Dict[str, Any], tensors: Dict[str, Any], rows: int) -> None:
        self._config = config
        self._tensors = tensors
        self._wanted = rows
        self.tensors = 0
        self.rows = 0
        self.worst = 0.0
        self.failed: List[str] = []
        self.skipped: List[str] = []
        self.unexplained: List[str] = []

    def check(self, name: str, base: Any, merged: Any) -> None:
        trained = self._trained(name)
        if trained is not None:
            self._check_replaced(name, trained, base, merged)
            return
        pair = self._pair(name.rsplit(".", 1)[0])
        plain = self._config.get("peft_type") == "LORA" and not self._config.get("use_dora")
        if (
            pair is None
            or not plain
            or self._config.get("fan_in_fan_out")
            or base.shape != merged.shape
            or base.dim() != 2
        ):
            self.skipped.append(name)
            return
        import torch

        first, second, embedding = pair["A"].double(), pair["B"].double(), pair["embedding"]
        if self._pair_dtype_is_low(pair):
            self.skipped.append(name)  # older peft rounds the delta itself: the bound below does not hold
            return
        scale = self._scale(pair["module"], first.shape[0])
        rows = self._sample(base.shape[0])
        delta = (second @ first).T[rows] if embedding else second[rows] @ first
        exact = base[rows].double() + scale * delta
        magnitude = (second.abs() @ first.abs()).T[rows] if embedding else second[rows].abs() @ first.abs()
        allowed = 0.5 * _ulp(exact, merged.dtype) + (first.shape[0] + 2) * 2.0**-24 * (
            abs(scale) * magnitude + base[rows].double().abs()
        )
        error = float(
            ((merged[rows].double() - exact).abs() / allowed.clamp_min(torch.finfo(torch.float64).tiny)).max()
        )
        self.tensors += 1
        self.rows += len(rows)
        self.worst = max(self.worst, error)
        if error > 1.0:
            self.failed.append(name)

    def check_added(self, name: str, merged: Any) -> None:
        """A tensor that the base does not store (a head trained over tied embeddings, a new classifier)."""
        trained = self._trained(name)
        if trained is None:
            self.unexplained.append(name)
        else:
            self._check_replaced(name, trained, merged, merged)

    def _trained(self, name: str) -> Optional[Any]:
        """The adapter's own whole tensor for `name` (`modules_to_save`, a grown embedding), if it carries one."""
        module = name.rsplit(".", 1)[0]
        if self._pair(module) is not None:
            return None
        for other, tensor in self._tensors.items():
            plain = other[len(_PREFIX) :] if other.startswith(_PREFIX) else other
            if ".original_module." not in other and _suffix(name, plain):
                return tensor
        return None

    def _check_replaced(self, name: str, trained: Any, base: Any, merged: Any) -> None:
        """Every row is the adapter's; rows past a shorter table are the base's."""
        import torch

        rows = trained.shape[0]
        same = torch.equal(merged[:rows], trained.to(merged.dtype))
        rest = merged.shape[0] == rows or torch.equal(merged[rows:], base[rows : merged.shape[0]])
        self.tensors += 1
        self.rows += int(merged.shape[0])
        if not (same and rest):
            self.failed.append(name)

    def _pair(self, module: str) -> Optional[Dict[str, Any]]:
        for name, tensor in self._tensors.items():
            for a, b, embedding in (
                ("lora_A.weight", "lora_B.weight", False),
                ("lora_embedding_A", "lora_embedding_B", True),
            ):
                if name.endswith("." + a):
                    path = name[len(_PREFIX) : -len(a) - 1]
                    partner = self._tensors.get(name[: -len(a)] + b)
                    if partner is not None and _suffix(module, path):
                        return {"A": tensor, "B": partner, "embedding": embedding, "module": path}
        return None

    @staticmethod
    def _pair_dtype_is_low(pair: Dict[str, Any]) -> bool:
        return bool(pair["A"].element_size() < 4)

    def _scale(self, module: str, rank: int) -> float:
        alpha = float(_pattern(self._config.get("alpha_pattern"), module, self._config.get("lora_alpha", 8)))
        return alpha / (math.sqrt(rank) if self._config.get("use_rslora") else rank)

    def _sample(self, count: int) -> List[int]:
        """The first, the last and evenly spread rows."""
        step = max(1, count // self._wanted)
        return sorted({0, count - 1, *range(0, count, step)})[: self._wanted + 2]


def _pattern(patterns: Optional[Dict[str, Any]], module: str, default: Any) -> Any:
    """peft matches a pattern key against the end of a module's path."""
    for key, value in (patterns or {}).items():
        if re.match(r".*\.?(%s)$" % key, module):
            return value
    return default


def _ulp(values: Any, dtype: Any) -> Any:
    """The distance between neighbours of `dtype` at each of `values`."""
    import torch

    info = torch.finfo(dtype)
    exponent = torch.floor(torch.log2(values.abs().clamp_min(info.tiny)))
    return torch.exp2(exponent) * info.eps
