"""Which family an unrecorded adapter belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpin.errors import InputError
from envpin.matrix.load import load_matrix
from envpin.matrix.match import match

if TYPE_CHECKING:
    from envpin.checkpoint.folder import Folder


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenFamily:
    """A family id and, line by line, why it is that one."""

    id: str
    evidence: tuple[str, ...]


def choose_family(adapter: Folder, base: Folder) -> ChosenFamily:
    """The family of the base's config, with its name and the adapter's own word for it as weaker signs.

    Raises:
        InputError: no family of the matrix has known-good versions for it.
    """
    named = (adapter.adapter_config or {}).get("base_model_name_or_path")
    found = match(base.config, named if isinstance(named, str) else base.path.name, load_matrix())
    if found.family is None or not found.family.known_good:
        raise InputError(
            f"no family of the matrix has known-good versions for `{base.path}`",
            path=base.path,
            hint="name an environment: --environment transformers==V,peft==V,torch==V",
        )
    marked = (
        () if found.certainty == "exact" else (f"the nearest known family, not an exact match ({found.certainty})",)
    )
    return ChosenFamily(id=found.family.id, evidence=(*marked, *found.evidence))
