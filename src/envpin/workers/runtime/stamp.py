"""Write one entry into the `__metadata__` of a safetensors file without loading it.

The header is a little-endian u64 length and that many bytes of JSON; tensor offsets count from its end, so a longer
header only moves the data as a whole (https://github.com/huggingface/safetensors#format).
"""

import json
import os
import shutil
import struct


def stamp(path: str, key: str, value: str) -> None:
    """Rewrite the file beside itself with `key` set in its metadata, and rename it into place."""
    with open(path, "rb") as source:
        (length,) = struct.unpack("<Q", source.read(8))
        header = json.loads(source.read(length).decode("utf-8"))
        header.setdefault("__metadata__", {})[key] = value
        data = json.dumps(header, separators=(",", ":")).encode("utf-8")
        data += b" " * (-len(data) % 8)  # the format asks for data aligned to eight bytes
        temporary = path + ".stamped"
        with open(temporary, "wb") as target:
            target.write(struct.pack("<Q", len(data)) + data)
            shutil.copyfileobj(source, target, 1 << 22)
            target.flush()
            os.fsync(target.fileno())
    os.replace(temporary, path)
