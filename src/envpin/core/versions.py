"""What "the same version" means. Three meanings, each with its name; a version is a string everywhere.

- the same release: what an index has under one number. A build for another device (`2.3.0+cu121`, `2.3.0+cpu`) and a
  commit that peft puts behind its own development versions (`0.6.3.dev0@1a2b3c`) do not make another release.
- the same build: the local label counts as well, as two builds of torch may compute differently.
- the release itself (`release_of`): what a pin can ask an index for.
"""

from __future__ import annotations

# No release of anything is longer; Python converts no integer of 5,000 digits.
LONGEST = 200


def release_of(version: str) -> str:
    """The number of the release that a build is of, in the form that PEP 440 prefers where it is a version at all."""
    text = version.partition("@")[0].strip()
    parsed = _parsed(text)
    return text.partition("+")[0] if parsed is None else parsed.partition("+")[0]


def same_release(one: str | None, other: str | None) -> bool:
    """Whether both are builds of one release; None, for no version, is the same as None only."""
    if one is None or other is None:
        return one is other
    first, second = release_of(one), release_of(other)
    return first == second or _trimmed(first) == _trimmed(second)


def same_build(one: str | None, other: str | None) -> bool:
    """Whether both are one build of one release."""
    return same_release(one, other) and (one is None or other is None or _label(one) == _label(other))


def label_of(version: str | None) -> str | None:
    """The local label (`cu121` of `2.3.0+cu121`), or None."""
    return (_label(version) or None) if version is not None else None


def _label(version: str) -> str:
    text = version.partition("@")[0].strip()
    return (_parsed(text) or text).partition("+")[2]


def _trimmed(release: str) -> str:
    """`2.3` and `2.3.0` are one release."""
    while release.endswith(".0"):
        release = release[:-2]
    return release


def _parsed(text: str) -> str | None:
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(text)) if len(text) <= LONGEST else None
    except InvalidVersion:
        return None
