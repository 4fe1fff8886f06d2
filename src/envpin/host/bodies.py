"""What every request to a worker and every answer is, whatever the verb."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

import msgspec

Reply = TypeVar("Reply")


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What both directions have in common."""


class Call(msgspec.Struct, Generic[Reply], frozen=True, kw_only=True, omit_defaults=True):
    """A request. `verb` is its name in the protocol, `reply` the type of its answer."""

    verb: ClassVar[str]
    reply: ClassVar[type]
