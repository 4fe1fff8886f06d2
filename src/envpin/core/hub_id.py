"""What a user or an adapter writes for a repository of the Hub, told apart from a path by its form. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from envpin.core.errors import InputError

SCHEME = "hf://"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_ID = rf"{_PART}(/{_PART})?"  # compiled when first used: a quick answer never needs it
_REVISION = r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}(/[A-Za-z0-9][A-Za-z0-9._-]{0,120}){0,4}"
_COMMIT = r"[0-9a-f]{40}"
_FORM = "write `user/name`, or `user/name@revision`"


class HubReference(NamedTuple):
    """A repository and, where one was named, a branch, tag or commit of it."""

    id: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.id if self.revision is None else f"{self.id}@{self.revision}"

    @property
    def short(self) -> str:
        """For a line of progress: a commit by its first twelve digits."""
        short = self.revision[:12] if self.revision is not None and is_commit(self.revision) else self.revision
        return str(self._replace(revision=short))


def is_hub_id(name: str) -> bool:
    """Whether `name` can be an id of the Hub (`org/name`, or `name` for its oldest models)."""
    if not re.fullmatch(_ID, name) or ".." in name or "--" in name:
        return False
    return not any(part.endswith((".", "-")) for part in name.split("/")) and not name.endswith(".git")


def is_revision(text: str) -> bool:
    """Whether `text` can name a branch, a tag or a commit without leaving the folder of the refs."""
    return bool(re.fullmatch(_REVISION, text)) and ".." not in text


def is_commit(text: str) -> bool:
    """Whether `text` is a whole commit."""
    return bool(re.fullmatch(_COMMIT, text))


def parse_hub_reference(text: str, *, bare: bool = False) -> HubReference | None:
    """The reference that `text` is; None where its form is that of a path. `bare` lets ids without `/` through.

    Raises:
        InputError: it starts with `hf://`, and what follows is no reference.
    """
    explicit = text.startswith(SCHEME)
    name, at, revision = text.removeprefix(SCHEME).partition("@")
    fits = is_hub_id(name) and (not at or is_revision(revision))
    if fits and (explicit or bare or "/" in name):
        return HubReference(name, revision if at else None)
    if explicit:
        raise InputError(f"`{text[:200]}` is not a repository of the Hub", hint=_FORM)
    return None
