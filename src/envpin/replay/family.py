"""Which known-good environment an unrecorded adapter is merged in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpin.errors import InputError
from envpin.manifest.closure import MERGE_CLOSURE
from envpin.matrix.load import load_matrix
from envpin.matrix.match import match
from envpin.matrix.support import load_support

if TYPE_CHECKING:
    from envpin.checkpoint.folder import Folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """`id` is a family whose own environment is used; without one, `requirements` say what is. `evidence` says why."""

    id: str | None
    title: str
    evidence: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    python: str | None = None
    exclude_newer: str | None = None


def choose_family(adapter: Folder, base: Folder) -> Chosen:
    """The family of the base's config, with the name that the adapter calls its base by as the weaker sign.

    Raises:
        InputError: the matrix knows no versions for it.
    """
    named = (adapter.adapter_config or {}).get("base_model_name_or_path")
    name = named if isinstance(named, str) else base.path.name
    found = match(base.config, name, load_matrix(), load_support())
    family = found.family
    # A family may fit exactly and its own pins not: a config that transformers 5 wrote is misread by 4.
    if found.certainty == "exact" and family is not None and family.known_good and found.pins == family.pins:
        return Chosen(id=family.id, title=f"the known-good one of {family.id}", evidence=found.evidence)
    if not found.pins:
        raise InputError(
            f"the matrix knows no versions for `{base.path}`"
            + (f": {family.unpinnable}" if family is not None and family.unpinnable else ""),
            path=str(base.path),
            hint="name an environment: --environment transformers==V,peft==V,torch==V",
        )
    rest = tuple(name for name in MERGE_CLOSURE if name not in found.pins)
    nearest = family.title if family is not None else "any known family"
    return Chosen(
        id=None,
        title=f"the nearest known one ({nearest})",
        evidence=found.evidence,
        requirements=(*found.requirements, *rest),
        python=found.python,
        exclude_newer=found.exclude_newer,
    )
