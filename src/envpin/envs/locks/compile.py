"""A lock for this machine: the question that is asked of uv, and its answer completed and read."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from envpin.core.errors import ResolutionError
from envpin.core.files import digest, write_cache
from envpin.core.index_settings import pip_index
from envpin.core.toml_input import parse_toml
from envpin.core.torch_builds import MIRROR, backend_of
from envpin.core.versions import label_of
from envpin.envs.locks.lock import Lock, parse_lock
from envpin.envs.locks.requirements import check_requirements, exact_pins
from envpin.envs.locks.torch_wish import TorchWay, TorchWish, ways
from envpin.envs.machine import driver_version, this_platform, where_settings
from envpin.envs.uv.settings import where_config

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Next to a kept answer: the sha256 of its text, and its digest as a lock.
_DIGEST = ".digest"
_OLDER = "pin a release of torch that it has"


@dataclass(frozen=True, kw_only=True, slots=True)
class LockQuestion:
    """What is to be resolved for this machine. `name` is for people and changes no answer.

    `exclude_newer` is an RFC 3339 time, or `era`. `constraints` bound versions without asking for packages, `prefer` is
    a lock whose versions are kept wherever the requirements let them, `find_links` are folders or pages with wheels
    besides the index, `torch` is the build of torch that is wanted. `alone`: the requirements are the whole
    environment, whatever they ask for themselves.
    """

    name: str
    requirements: tuple[str, ...]
    python: str
    exclude_newer: str | None = None
    constraints: tuple[str, ...] = ()
    prefer: Lock | None = None
    find_links: tuple[str, ...] = ()
    torch: TorchWish | None = None
    alone: bool = False

    @property
    def ways(self) -> tuple[TorchWay, ...]:
        """What to ask uv for, the best first."""
        return ways(self.requirements, self.torch, system=sys.platform)

    @property
    def digest(self) -> str:
        """32 hex digits of everything that decides the answer on this machine."""
        question = {
            "requirements": sorted(self.requirements),
            "constraints": sorted(self.constraints),
            "python": self.python,
            "exclude_newer": self.exclude_newer,
            **({} if self.prefer is None else {"prefer": self.prefer.digest}),
            "find_links": list(self.find_links),
            **({"alone": True} if self.alone else {}),
            **({} if self.torch is None else {"torch": [self.torch.label, self.torch.required]}),
            **({"driver": driver_version()} if self.torch is not None and self.torch.label == "auto" else {}),
            "where": where_settings(os.environ),
            "configured": where_config(os.environ),
            **({} if (pip := pip_index(os.environ)) is None else {"pip": pip}),
            "platform": this_platform(),
            # 1: answers from before the matrix's relations bounded them; 2: from before a build of torch was asked for.
            "bounded": 2,
        }
        return digest(json.dumps(question, sort_keys=True))[:32]


def compile_lock(question: LockQuestion, way: TorchWay, *, exclude_newer: str | None, offline: bool) -> Lock:
    """The lock that uv makes of `question` in one of its ways as of `exclude_newer`, with the hash of every wheel.

    Raises:
        InputError: something is not a requirement.
        ResolutionError, NoInterpreterError, NetworkError, DiskFullError
    """
    from envpin.envs.locks.bounded import compile_bounded
    from envpin.envs.locks.hashes import with_hashes
    from envpin.envs.locks.pylock_text import normalized, write_pylock
    from envpin.envs.uv.command import find_uv
    from envpin.envs.uv.errors import patch_asked_for

    wanted = check_requirements(way.requirements)
    pins = exact_pins(wanted)

    def compiled(constraints: Sequence[str], python: str = question.python) -> str:
        return find_uv().compile(
            wanted,
            python=python,
            exclude_newer=exclude_newer,
            always_allow=pins,
            constraints=constraints,
            prefer=None if question.prefer is None else question.prefer.text,
            find_links=question.find_links,
            backend=way.backend,
            alone=question.alone,
            offline=offline,
        )

    bounds = check_requirements(question.constraints) if question.constraints else ()

    def resolved(python: str = question.python) -> str:
        asked = partial(compiled, python=python)
        return asked(()) if question.alone else compile_bounded(asked, bounds, pins)

    try:
        text = resolved()
    except ResolutionError as refused:
        # To uv `3.11` is 3.11.0. A lock for the very interpreter that is here is asked for only where it must be.
        patch = find_uv().patch_of(question.python) if patch_asked_for(refused, question.python) else None
        if patch is None:
            raise
        text = resolved(patch)
    lock = parse_lock(write_pylock(normalized(with_hashes(parse_toml(text)))), origin=f"the lock of {question.name}")
    held = next(iter(lock.versions_of("torch")), None)
    if os.environ.get(MIRROR) and way.backend and held is not None and backend_of(label_of(held)) != way.backend:
        # A mirror is one index among others, and theirs may be the newer torch, of another build.
        raise ResolutionError(f"the index of `{way.backend}` has no torch that is as new as {held}", hint=_OLDER)
    return lock


def remembered(path: Path, *, own: bool) -> Lock | None:
    """The answer that was kept at `path`, or None. Its digest is kept next to it, as parsing takes 10 ms: in a store of
    one's `own`."""
    if not path.is_file():
        return None
    text, note = path.read_text(encoding="utf-8"), path.with_suffix(_DIGEST)
    of_text = digest(text)
    try:
        of, _, known = note.read_text(encoding="ascii").strip().partition(" ")
    except (OSError, UnicodeDecodeError):
        of = known = ""
    if of == of_text and re.fullmatch(r"[0-9a-f]{64}", known):
        return Lock(text=text, origin=str(path), known_digest=known)
    lock = Lock(text=text, origin=str(path))
    if own:
        write_cache(note, f"{of_text} {lock.digest}\n")
    return lock


def remember(path: Path, lock: Lock) -> None:
    """Keep an answer at `path`, for this question asked again; a store that cannot be written keeps none."""
    write_cache(path, lock.text)
