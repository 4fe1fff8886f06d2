"""Which build of torch is asked for, and the ways to get it, the best one first. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from envpin.core.torch_builds import backend_of
from envpin.core.versions import label_of, release_of
from envpin.envs.locks.requirements import exact_pins

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchWish:
    """A build of torch by its label (`cpu`, `cu121`, `rocm6.2`), `auto` for the one that fits this machine's GPU, or
    `index` for whichever the index itself has.

    Another build will do, and is said, unless it is `required`. `recorded`: training ran with it.
    """

    label: str
    required: bool = False
    recorded: bool = False

    def fits(self, version: str) -> bool:
        """Whether a torch of this version is that build; of `auto` and `index`, any may be."""
        return self.label in {"auto", "index"} or label_of(version) == self.label


class TorchWay(NamedTuple):
    """What to ask uv for: requirements, and the backend whose index it is to add (`--torch-backend`)."""

    requirements: tuple[str, ...]
    backend: str | None = None


def ways(requirements: Sequence[str], wish: TorchWish | None, *, system: str) -> tuple[TorchWay, ...]:
    """The ways to get that build, the best first: from the user's own index and find-links, then from the index of its
    label, then, unless it is required, whichever build there is.

    On a Mac (`system` is `darwin`) builds have no labels, and the only one is for its CPU and GPU.
    """
    plain = TorchWay(tuple(requirements))
    pinned = exact_pins(requirements).get("torch")
    written = label_of(pinned)
    if written is not None and wish is None:
        wish = TorchWish(label=written, required=True)
    if wish is None or wish.label == "index":
        return (plain,)
    if wish.label == "auto":
        return (TorchWay(plain.requirements, "auto"),)
    if system == "darwin" and wish.label == "cpu":
        return (plain,)
    wanted = plain
    found: list[TorchWay] = []
    if pinned is not None:
        wanted = TorchWay(tuple(_labelled(one, pinned, wish.label) for one in requirements))
        found.append(wanted)
    if (backend := backend_of(wish.label)) is not None:
        found.append(TorchWay(wanted.requirements, backend))
    return tuple(found) if wish.required and found else (*found, plain)


def _labelled(requirement: str, pinned: str, label: str) -> str:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    parsed = Requirement(requirement)
    if canonicalize_name(parsed.name) != "torch":
        return requirement
    marker = f" ; {parsed.marker}" if parsed.marker else ""
    return f"torch=={release_of(pinned)}+{label}{marker}"
