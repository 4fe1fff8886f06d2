"""Several adapters in one merge, each at a weight: reading `ADAPTER:WEIGHT`, and what cannot be merged together.

The merged weights are W + w1·Δ1 + w2·Δ2 + …, so only kinds whose change is such a Δ can be given a weight or company
(docs/adr/0032-several-adapters-one-after-the-other.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from envpin.checkpoint.checkpoint import Checkpoint, open_checkpoint
from envpin.checkpoint.embedding import EmbeddingPlan, plan_embedding
from envpin.core.errors import CheckFailedError, UsageError
from envpin.core.files import open_file
from envpin.core.place import local_path
from envpin.core.sizes import counted
from envpin.core.versions import release_of
from envpin.manifest.closure import closure_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.core.place import Place, RemotePlace
    from envpin.manifest.closure import Closure
    from envpin.manifest.types import Manifest

# Words in the names of tensors that are one side of a Δ; everything else in an adapter's file replaces what was there.
_SIDES = {"LORA": ("lora_",), "LOHA": ("hada_",), "LOKR": ("lokr_",)}
_PREFIX = "base_model.model."


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightedAdapter:
    """An adapter's folder and the factor on its change; 1 is the adapter as it was trained.

    One on the Hub is `remote`; `path` is then the folder that its download makes. `named` is what the user wrote,
    `opened` the folder, once somebody has opened it (`at`).
    """

    path: Path
    weight: float = 1.0
    named: str = field(default="", compare=False)
    remote: RemotePlace | None = None
    opened: Checkpoint | None = field(default=None, compare=False, repr=False)

    def at(self, place: Place | Checkpoint) -> WeightedAdapter:
        """The same adapter, found at `place` and opened.

        Raises:
            InputError: there is no model or adapter.
        """
        opened = open_checkpoint(place)
        remote = None if isinstance(opened.path, Path) else cast("RemotePlace", opened.path)
        return replace(self, path=local_path(opened.path), remote=remote, opened=opened)

    @property
    def checkpoint(self) -> Checkpoint:
        """The opened folder."""
        return self.opened if self.opened is not None else open_checkpoint(self.path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One adapter of a plan. `files` are the names that its digest covers; `closure` is None without a record;
    `kind` is peft's `peft_type`, `settings` its whole config."""

    path: Path
    remote: RemotePlace | None
    weight: float
    files: tuple[str, ...]
    manifest: Manifest | None
    manifest_sha256: str | None
    closure: Closure | None
    kind: str
    settings: Mapping[str, object]

    def with_packages(self, also: tuple[str, ...]) -> Part:
        """The same with distributions in its closure that this merge needs beyond the usual ones."""
        if self.manifest is None or not also:
            return self
        return replace(self, closure=closure_of(self.manifest, also=also))


def method_packages(adapters: Iterable[Checkpoint]) -> tuple[str, ...]:
    """Distributions that peft does not require and its methods need on loading: AdaMSS clusters with scikit-learn, and
    LoftQ quantizes the base again. What others need (GPTQ, HQQ, AQLM, EETQ) is asked for by a quantized base alone."""
    found: dict[str, None] = {}
    for one in adapters:
        config = one.adapter_config or {}
        if str(config.get("peft_type")).upper() == "ADAMSS":
            found["scikit-learn"] = None
        if str(config.get("init_lora_weights")).lower() == "loftq":
            found |= dict.fromkeys(("bitsandbytes", "scipy"))
    return tuple(found)


def named(path: Path, remote: RemotePlace | None) -> str:
    """A folder as people call it: by its repository where it is on the Hub."""
    return str(path) if remote is None else f"{remote.id} on the Hub, at {remote.commit[:12]}"


def parse_adapter(text: str) -> WeightedAdapter:
    """`ADAPTER` or `ADAPTER:WEIGHT`. A folder of that very name wins, so that a colon in a path does no harm.

    Raises:
        UsageError: the weight is no finite number, or 0.
    """
    name, colon, last = text.rpartition(":")
    if not colon or not name or Path(text).exists():
        return WeightedAdapter(path=Path(text), named=text)
    try:
        weight = float(last)
    except ValueError:
        if Path(name).is_dir():
            raise UsageError(f"`{last}` is not a weight for `{name}`", hint=f"write for example {name}:0.5") from None
        return WeightedAdapter(path=Path(text), named=text)
    if not math.isfinite(weight) or weight == 0:
        raise UsageError(f"the weight of `{name}` has to be a number other than 0, not `{last}`")
    return WeightedAdapter(path=Path(name), weight=weight, named=name)


def refuse_conflicts(adapters: Sequence[tuple[WeightedAdapter, Checkpoint]]) -> tuple[str, ...]:
    """Notes on what is merged otherwise than its weight says.

    Raises:
        CheckFailedError: these adapters, or one at this weight, cannot be merged; every reason is listed.
    """
    weighted = len(adapters) > 1 or adapters[0][0].weight != 1
    if not weighted:
        return ()
    kinds = [problem for one, folder in adapters for problem in _kind_problems(one, folder)] + _type_problems(adapters)
    problems = [*kinds, *_repeated(adapters), *_whole_problems(adapters), *_token_problems(adapters)]
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        first, last = adapters[0][0], adapters[-1][0]
        if len(adapters) == 1:
            message = f"`{first.path}` cannot be merged at weight {first.weight:g}\n{listed}"
            raise CheckFailedError(message, hint="leave out the weight")
        after = f"merge `{first.path.name}` first, then `{last.path.name}` with the result as its --base"
        message = f"these adapters cannot be merged together\n{listed}"
        raise CheckFailedError(message, hint=after if kinds else None)
    return tuple(
        f"`{one.path.name}` brings {counted(len(whole), 'whole tensor')} (`{whole[0]}`, …), taken as saved: "
        f"its weight {one.weight:g} applies to its low-rank changes only"
        for one, folder in adapters
        if one.weight != 1 and (whole := sorted(_whole(folder)))
    )


def kind_of(folder: Checkpoint) -> str:
    return str((folder.adapter_config or {}).get("peft_type") or "unknown").upper()


def _kind_problems(one: WeightedAdapter, folder: Checkpoint) -> list[str]:
    config = folder.adapter_config or {}
    if kind_of(folder) not in _SIDES:
        return [f"`{one.path.name}` is {kind_of(folder)}, whose change is no sum that could be weighed or added to"]
    if config.get("use_dora"):
        return [f"`{one.path.name}` uses DoRA, whose change depends on the weights that it is merged into"]
    return []


def _type_problems(adapters: Sequence[tuple[WeightedAdapter, Checkpoint]]) -> list[str]:
    kinds = {kind_of(folder) for _, folder in adapters}
    problems = []
    if len(kinds) > 1:
        listed = ", ".join(f"`{one.path.name}` is {kind_of(folder)}" for one, folder in adapters)
        problems.append(f"peft holds one kind of adapter at a time: {listed}")
    biased = [one.path.name for one, folder in adapters if (folder.adapter_config or {}).get("bias", "none") != "none"]
    if len(biased) > 1:
        problems.append(f"both `{biased[0]}` and `{biased[1]}` trained biases, and peft merges those of one adapter")
    return problems


def _repeated(adapters: Sequence[tuple[WeightedAdapter, Checkpoint]]) -> list[str]:
    seen: set[Path] = set()
    problems = []
    for one, _ in adapters:
        real = one.path.resolve()
        if real in seen:
            problems.append(f"`{one.path}` is given twice; give it once, with the sum of the weights")
        seen.add(real)
    return problems


def _whole(folder: Checkpoint) -> dict[str, Tensor]:
    """What replaces a tensor of the base, by the name that it has there."""
    words = _SIDES.get(kind_of(folder), ())
    return {
        name.removeprefix(_PREFIX).replace(".modules_to_save.", "."): tensor
        for name, tensor in folder.adapter_tensors.items()
        if ".original_module." not in name and not any(word in name for word in words)
    }


def _whole_problems(adapters: Sequence[tuple[WeightedAdapter, Checkpoint]]) -> list[str]:
    problems = []
    first: dict[str, tuple[WeightedAdapter, Tensor]] = {}
    for one, folder in adapters:
        for name, tensor in sorted(_whole(folder).items()):
            if name not in first:
                first[name] = (one, tensor)
                continue
            other, theirs = first[name]
            if tensor.shape != theirs.shape or _bytes(one.checkpoint, tensor) != _bytes(other.checkpoint, theirs):
                problems.append(
                    f"`{other.path.name}` and `{one.path.name}` both replace `{name}`, by "
                    f"{list(theirs.shape)} and {list(tensor.shape)} with other values"
                )
    return problems


def _bytes(folder: Checkpoint, tensor: Tensor) -> bytes:
    with open_file(folder.files / tensor.file) as stream:
        stream.seek(tensor.start)
        return stream.read(tensor.end - tensor.start)


def _token_problems(adapters: Sequence[tuple[WeightedAdapter, Checkpoint]]) -> list[str]:
    problems = []
    meaning: dict[int, tuple[str, str]] = {}
    for one, folder in adapters:
        for token, number in sorted((folder.tokenizer.added if folder.tokenizer else {}).items()):
            known, owner = meaning.setdefault(number, (token, one.path.name))
            if known != token:
                problems.append(f"token {number} is `{known}` in `{owner}` and `{token}` in `{one.path.name}`")
    return problems


def embedding_of(adapters: Sequence[tuple[WeightedAdapter, Checkpoint]], base_rows: int | None) -> EmbeddingPlan:
    """What becomes of the embedding: where one adapter grew it, it grows, and the others have to fit into that.

    Raises:
        CheckFailedError: two adapters want different tables.
    """
    if base_rows is None:
        return EmbeddingPlan(action="keep", rows=0, code=None, reason="no embedding table found in the base")
    plans = [
        plan_embedding(
            base_rows=base_rows,
            adapter_rows=folder.embedding_rows,
            tokenizer_length=folder.tokenizer.length if folder.tokenizer else None,
        )
        for _, folder in adapters
    ]
    changing = [(one.path.name, plan) for (one, _), plan in zip(adapters, plans, strict=True) if plan.action != "keep"]
    if not changing:
        return plans[0]
    wanted = changing[0][1]
    fixed = [
        one.path.name
        for (one, folder), plan in zip(adapters, plans, strict=True)
        if plan.action == "keep" and folder.embedding_rows is not None
    ]
    other = next((name for name, plan in changing if (plan.action, plan.rows) != (wanted.action, wanted.rows)), None)
    other = other or next(iter(fixed if wanted.action == "grow" else ()), None)
    if other is not None:
        raise CheckFailedError(
            f"these adapters cannot be merged together\n  `{changing[0][0]}` wants an embedding of "
            f"{counted(wanted.rows, 'row')}, "
            f"and `{other}` was trained on another",
            hint="train both on the same vocabulary",
        )
    return wanted


def tokenizer_source(adapters: Sequence[tuple[WeightedAdapter, Checkpoint]]) -> Path:
    """The adapter whose tokenizer goes beside the merged model: the one that knows the most tokens, else the first."""
    lengths = [(folder.tokenizer.length if folder.tokenizer else None) or 0 for _, folder in adapters]
    return adapters[lengths.index(max(lengths))][0].path


def environment_conflicts(parts: Sequence[Part]) -> tuple[str, ...]:
    """Packages of the merge that two adapters were recorded with in different versions, in words."""
    found = []
    recorded = [
        (part.path.name, {one.name.lower(): one.version for one in part.manifest.distributions})
        for part in parts
        if part.manifest is not None
    ]
    for package in ("torch", "transformers", "peft"):
        versions = [(name, release_of(held[package])) for name, held in recorded if package in held]
        for name, version in versions[1:]:
            if version != versions[0][1]:
                found.append(f"{package} was {versions[0][1]} for `{versions[0][0]}` and {version} for `{name}`")
    return tuple(found)
