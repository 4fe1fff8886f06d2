"""The worker's side of the protocol: events out, result out, known errors as data. Stdlib only, Python 3.8 syntax."""

import errno
import json
import os
import re
import time
from typing import Dict, Optional


class KnownError(Exception):
    """A failure that the controller knows how to explain. `kind` is a stable slug; `data` is JSON."""

    def __init__(self, kind: str, message: str, **data: object) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.data = data

    def to_json(self) -> Dict[str, object]:
        return {"kind": self.kind, "message": self.message, "data": self.data}


class Events:
    """Progress on the events descriptor, one JSON object a line. A reader that went away is not an error."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._last = 0.0

    def step(self, key: str, title: str, state: str = "start", detail: str = "") -> None:
        self._send({"event": "step", "key": key, "title": title, "state": state, "detail": detail})

    def progress(self, key: str, done: int, total: Optional[int] = None, unit: str = "B", label: str = "") -> None:
        now = time.monotonic()
        if done != total and now - self._last < 0.1:
            return  # ten a second are enough for eyes, and none slows the work
        self._last = now
        self._send({"event": "progress", "key": key, "done": done, "total": total, "unit": unit, "label": label})

    def note(self, message: str, level: str = "info") -> None:
        self._send({"event": "note", "message": message, "level": level})

    def outcome(self, found: object) -> None:
        """A part of the answer that is known already, for a controller that keeps it whatever happens next."""
        self._send({"event": "outcome", "outcome": found})

    def _send(self, document: Dict[str, object]) -> None:
        if self._fd < 0:
            return
        data = (json.dumps(document) + "\n").encode("utf-8")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            self._fd = -1


def os_error(error: OSError) -> Dict[str, object]:
    """A known error for what the operating system refused."""
    kinds = {
        errno.ENOSPC: "disk-full",
        errno.EDQUOT: "disk-full",
        errno.EACCES: "permission",
        errno.EROFS: "permission",
    }
    kind = kinds.get(error.errno or 0, "os-error")
    return {"kind": kind, "message": str(error), "data": {"path": error.filename, "errno": error.errno}}


def system_error(error: Exception) -> Optional[OSError]:
    """What the operating system refused a library written in Rust: safetensors tells it in words alone, as `No space
    left on device (os error 28)`. None where it is no such error."""
    found = re.search(r"\(os error (\d{1,5})\)", str(error))
    return None if found is None else OSError(int(found.group(1)), str(error))


def write_json(path: str, document: Dict[str, object]) -> None:
    """Write and rename, so that a result that exists is whole."""
    temporary = path + ".tmp"
    with open(temporary, "w", encoding="utf-8") as stream:
        json.dump(document, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
