"""What is said of a cause that facts or frames tell. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Explained(NamedTuple):
    """`code` of the catalogue, what to say and what to do. `in_field`: only where another line of the log shows that it
    is of this field."""

    code: str
    says: str
    fix: tuple[str, ...]
    in_field: bool = False
