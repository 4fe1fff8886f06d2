"""Which data the run used: what `datasets` loaded from where, and what the trainer was given."""

from __future__ import annotations

import hashlib
import os
import re
import time
from typing import Any, Dict, List, Optional, Sequence

_COMMIT = re.compile(r"@([0-9a-f]{40})/")
FILES = 100
LOADED = 50
_SECONDS = 0.03

loaded: List[Dict[str, object]] = []


def note_loaded(builder: Any, result: object) -> None:
    """A dataset that a builder of `datasets` has made ready, of one split or several."""
    if len(loaded) >= LOADED:
        return
    config = builder.config
    found: Dict[str, object] = {
        "name": getattr(builder, "dataset_name", None) or getattr(builder, "name", None),
        "repository": getattr(builder, "repo_id", None),
        "config": getattr(config, "name", None),
    }
    files, commit = _files(getattr(config, "data_files", None))
    found["files"], found["commit"] = files, commit
    splits = result.items() if isinstance(result, dict) else [(getattr(result, "split", None), result)]
    for split, one in splits:
        described = dict(found, split=str(split) if split is not None else None)
        described.update(shape(one))
        if described not in loaded:
            loaded.append(described)


def shape(dataset: Any) -> Dict[str, object]:
    """`fingerprint`, `rows` and `columns` of a dataset of any kind, as far as it tells them without being read."""
    found: Dict[str, object] = {"fingerprint": getattr(dataset, "_fingerprint", None)}
    try:
        found["rows"] = len(dataset)
    except Exception:  # an iterable one has no length
        found["rows"] = None
    columns = getattr(dataset, "column_names", None)
    if isinstance(columns, list):
        found["columns"] = [str(one) for one in columns][:FILES]
    return found


def given(dataset: Any) -> Dict[str, object]:
    """What the trainer was given to train on."""
    kind = type(dataset)
    found = dict(shape(dataset), kind=kind.__module__ + "." + kind.__qualname__)
    if isinstance(dataset, (list, tuple)):
        found.update(_rows(dataset))
    return found


def _rows(rows: Sequence[object]) -> Dict[str, object]:
    """Digests of rows that lie in memory: `order` over them as they come, `members` whatever their order. Absent where
    that takes more of the processor than a save may; on a busy machine it may take longer."""
    end = time.thread_time() + _SECONDS
    order, members = hashlib.sha256(), 0
    for row in rows:
        digest = hashlib.sha256(repr(row).encode("utf-8", "replace")).digest()
        order.update(digest)
        members = (members + int.from_bytes(digest, "big")) % (1 << 256)
        if time.thread_time() > end:
            return {}
    return {"order": order.hexdigest(), "members": "%064x" % members}


def _files(data_files: Any) -> "tuple[Dict[str, object], Optional[str]]":
    """Local files with size and time of change, to be digested after the run; files of the Hub with their commit."""
    found: Dict[str, object] = {}
    commit: Optional[str] = None
    if not isinstance(data_files, dict):
        return found, commit
    for names in data_files.values():
        for name in list(names)[:FILES]:
            text = str(name)
            matched = _COMMIT.search(text)
            commit = matched.group(1) if matched is not None else commit
            try:
                status = os.stat(text)
                found[os.path.abspath(text)] = {"size": status.st_size, "changed": status.st_mtime_ns}
            except OSError:
                found[text] = {}
    return found, commit
