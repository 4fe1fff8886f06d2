"""Is this file a bundle? Apart from what opens one, as every reference to an environment is asked this first."""

from __future__ import annotations

from pathlib import Path

from envpin.core.files import read_head


def is_bundle(path: Path | str) -> bool:
    """Whether a file begins as a bundle does."""
    try:
        return Path(path).is_file() and read_head(Path(path), 64).startswith(b"envpin-bundle/restore.sh\0")
    except OSError:
        return False
