"""Which recorded distributions a merge needs, as requirements. Pure.

A manifest is untrusted input: only packages named here are asked for, by version, from the user's own index. What the
manifest says about where a distribution came from is used to explain a difference, never to fetch anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from envpin.core.torch_builds import backend_of
from envpin.core.versions import label_of, release_of

if TYPE_CHECKING:
    from envpin.manifest.types import Distribution, Manifest

# What loading, merging and saving run through. Their own dependencies follow by resolution, held at recorded versions.
REQUIRED = ("torch", "transformers", "peft")
MERGE_CLOSURE = (*REQUIRED, "safetensors", "tokenizers", "accelerate", "huggingface-hub", "numpy")
# Needed by some tokenizers only; asked for where the training run had them.
IF_RECORDED = ("sentencepiece", "protobuf", "tiktoken")


Why = Literal["a development version", "installed from source", "installed in editable mode", "not a version",
              "not on the index", "the index has no wheel of it"]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpinnable:
    """A closure package whose recorded state no index can give back. `reason` completes "was ..."."""

    name: str
    version: str
    reason: Why


@dataclass(frozen=True, kw_only=True, slots=True)
class Closure:
    """`requirements` pin the packages of the merge closure; `constraints` hold everything else that they pull in.

    `missing` names packages of `REQUIRED` that the manifest does not list. `torch_label` is that of the recorded
    torch (`cpu`, `cu121`), where it names a build; an index's own has none.
    """

    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    unpinnable: tuple[Unpinnable, ...]
    missing: tuple[str, ...]
    torch_label: str | None = None


def closure_of(manifest: Manifest, *, also: tuple[str, ...] = ()) -> Closure:
    """The requirements of the environment that `manifest` was recorded in, narrowed to what a merge needs, and to the
    distributions of `also` that the run had."""
    recorded = {str(canonicalize_name(one.name)): one for one in manifest.distributions}
    requirements: list[str] = []
    unpinnable: list[Unpinnable] = []
    for name in (*MERGE_CLOSURE, *IF_RECORDED, *also):
        distribution = recorded.get(name)
        if distribution is None:
            if name in MERGE_CLOSURE and name not in REQUIRED:
                requirements.append(name)
            continue
        reason = _why_unpinnable(distribution)
        if reason is not None:
            unpinnable.append(Unpinnable(name=name, version=distribution.version, reason=reason))
        if reason == "not a version":
            continue
        requirements.append(f"{name}=={release_of(distribution.version)}")
    constraints = tuple(
        f"{name}=={release_of(one.version)}"
        for name, one in sorted(recorded.items())
        if name not in {*MERGE_CLOSURE, *IF_RECORDED, *also} and _why_unpinnable(one) is None
    )
    return Closure(
        requirements=tuple(requirements),
        constraints=constraints,
        unpinnable=tuple(unpinnable),
        missing=tuple(name for name in REQUIRED if name not in recorded),
        torch_label=_torch_label(recorded.get("torch")),
    )


def _torch_label(torch: Distribution | None) -> str | None:
    """That of the distribution: what `torch.__version__` says beyond it, an index's own build says as well."""
    label = label_of(torch.version) if torch is not None and _why_unpinnable(torch) is None else None
    return label if backend_of(label) is not None else None


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeEnvironment:
    """Every distribution that was recorded: `requirements` pin those that an index may have, `unpinnable` are the
    others."""

    requirements: tuple[str, ...]
    unpinnable: tuple[Unpinnable, ...]


def whole_environment(manifest: Manifest) -> WholeEnvironment:
    """What the training ran in, as pins of everything. A development version is asked for too: an index may have it."""
    requirements: list[str] = []
    unpinnable: list[Unpinnable] = []
    for one in sorted(manifest.distributions, key=lambda one: str(canonicalize_name(one.name))):
        name = str(canonicalize_name(one.name))
        reason = _why_unpinnable(one)
        if reason is not None and reason != "a development version":
            unpinnable.append(Unpinnable(name=name, version=one.version, reason=reason))
        else:
            requirements.append(f"{name}=={release_of(one.version)}")
    return WholeEnvironment(requirements=tuple(requirements), unpinnable=tuple(unpinnable))


def _why_unpinnable(distribution: Distribution) -> Why | None:
    try:
        version = Version(distribution.version)
    except InvalidVersion:
        return "not a version"
    if distribution.editable:
        return "installed in editable mode"
    url = distribution.direct_url or ""
    if url and not url.partition("#")[0].endswith(".whl"):
        return "installed from source"
    if version.is_devrelease:
        return "a development version"
    return None
