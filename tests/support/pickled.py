"""Files as `torch.save` writes them, without torch."""

from __future__ import annotations

import pickle
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def saved(path: Path, value: object, *, zipped: bool = True, protocol: int = 2) -> Path:
    """A trainer's arguments: in an archive, or alone as releases before 1.6 wrote them."""
    data = pickle.dumps(value, protocol=protocol)
    if not zipped:
        path.write_bytes(data)
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("training_args/data.pkl", data)
        archive.writestr("training_args/version", "3\n")
    return path
