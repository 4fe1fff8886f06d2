"""What the controller asks of the verb `prove`, and what it is told.

Request::

    {"base": {"folder", "files": [names]}, "adapter": …, "merged": …,
     "tie": {"base": bool, "merged": bool}, "quantized": as given to `stream-merge` | null,
     "embedding": as given to `stream-merge`, "architecture": class name | null}

Result: `Proof` as an object; each `Judged` of `tensors` that is not plainly right is listed, the rest is counted.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple


class WeightFiles(NamedTuple):
    """A folder, and the names of the safetensors files in it that hold its tensors."""

    folder: str
    files: Tuple[str, ...]


class ProveRequest(NamedTuple):
    base: WeightFiles
    adapter: WeightFiles
    merged: WeightFiles
    base_is_tied: bool
    merged_is_tied: bool
    quantized: Optional[Dict[str, Any]]
    embedding: Optional[Dict[str, Any]]
    architecture: Optional[str]


class Judged(NamedTuple):
    """One tensor of the merged model. `state` is `equal` (to the bit), `rounding` (as near as its dtype lets a right
    merge come), `not-compared` or `wrong`; `cause` is a stable slug where it is wrong; `why` says it in words.
    `factor` is the measured scale of the adapter's change, with its standard error; `rows` the first rows that are
    wrong."""

    tensor: str
    state: str
    changed: bool = False
    way: Optional[str] = None
    cause: Optional[str] = None
    why: Optional[str] = None
    factor: Optional[float] = None
    error: Optional[float] = None
    rows: Tuple[int, ...] = ()
    wrong_rows: int = 0
    other: Optional[str] = None
    lost: bool = False

    def to_json(self) -> Dict[str, Any]:
        return {key: value for key, value in self._asdict().items() if value not in (None, (), False, 0)}


def read(body: Dict[str, Any]) -> ProveRequest:
    return ProveRequest(
        base=_place(body["base"]),
        adapter=_place(body["adapter"]),
        merged=_place(body["merged"]),
        base_is_tied=bool(body["tie"]["base"]),
        merged_is_tied=bool(body["tie"]["merged"]),
        quantized=body.get("quantized"),
        embedding=body.get("embedding"),
        architecture=body.get("architecture"),
    )


def _place(given: Dict[str, Any]) -> WeightFiles:
    files: List[str] = [str(name) for name in given["files"]]
    return WeightFiles(str(given["folder"]), tuple(files))
