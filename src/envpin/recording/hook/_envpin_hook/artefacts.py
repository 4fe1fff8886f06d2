"""What a save left in a folder: configs, tensor headers, digests. Also used by the controller after the run."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
from typing import Dict, List, Optional, Tuple

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
MODEL_SUFFIXES = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json")
MODEL_CONFIGS = ("config.json", "generation_config.json")
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "chat_template.jinja",
    "chat_template.json", "tekken.json", "preprocessor_config.json", "processor_config.json",
    "video_preprocessor_config.json",
)  # fmt: skip
# sha256 runs at about 0.7 GB/s: this much in a save is under 0.1 s. The rest is digested after the run.
DIGEST_IN_RUN = 48 * 1024 * 1024
# Limits of what a save may cost: headers and configs of real models are far below, and the rest is not recorded.
HEADER_LIMIT = 64 * 1024 * 1024
CONFIG_LIMIT = 16 * 1024 * 1024
TENSOR_LIMIT = 20000
# Of the weights of a local base, 16 blocks of each file: 256 KiB, a millisecond where training has read it.
# The controller takes the same sample (checkpoint/formats/sampled.py), and digests the whole after the run.
SAMPLE_BLOCK = 16 * 1024
SAMPLE_BLOCKS = 16
# tokenizers writes `version`, `truncation` and `padding` before this.
_AFTER_HEAD, _HEAD = b'"added_tokens"', 4096
# On a cold or distant disk the samples end here: a save or a load is held up for 0.3 s at most, everything included.
SAMPLE_SECONDS = 0.2


def sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while True:
            block = stream.read(1024 * 1024)
            if not block:
                return digest.hexdigest()
            digest.update(block)


def digests(folder: str, names: List[str], limit: Optional[int]) -> Tuple[Dict[str, str], Dict[str, str]]:
    """sha256 of each named file, smallest first until `limit` bytes are read; and why the others have none."""
    done: Dict[str, str] = {}
    skipped: Dict[str, str] = {}
    read = 0
    sized: List[Tuple[int, str]] = []
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            sized.append((os.path.getsize(path), name))
    for size, name in sorted(sized):
        if limit is not None and read + size > limit:
            skipped[name] = "%d bytes: over the limit for one save" % size
            continue
        read += size
        done[name] = sha256(os.path.join(folder, name))
    return done, skipped


def json_file(path: str) -> Optional[Dict[str, object]]:
    if not os.path.isfile(path) or os.path.getsize(path) > CONFIG_LIMIT:
        return None
    with open(path, encoding="utf-8") as stream:
        found = json.load(stream)
    return found if isinstance(found, dict) else None


def tensors(path: str) -> List[Dict[str, object]]:
    """Names, shapes and dtypes from the header of a safetensors file."""
    with open(path, "rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > HEADER_LIMIT:
            raise ValueError("a header of %d bytes" % length)
        header = json.loads(stream.read(length).decode("utf-8"))
    header.pop("__metadata__", None)
    return [{"name": name, "shape": header[name]["shape"], "dtype": header[name]["dtype"]} for name in sorted(header)]


def is_weights(name: str) -> bool:
    """Whether a file of this name holds a whole model's weights, or their index."""
    return name.endswith(MODEL_SUFFIXES) and name.startswith(("model", "pytorch_model"))


def sample_offsets(size: int) -> List[int]:
    """Where the sampled blocks of a file of `size` bytes begin: its start, its end, and evenly between."""
    last = size - SAMPLE_BLOCK
    if last <= 0:
        return [0]
    count = min(SAMPLE_BLOCKS, -(-size // SAMPLE_BLOCK))
    return [last * number // (count - 1) for number in range(count)]


def sample(path: str, end: Optional[float] = None) -> Optional[Dict[str, object]]:
    """Size, digest of the header and digest of the sampled blocks of a safetensors file; None where the monotonic clock
    is past `end` before all is read."""
    size = os.path.getsize(path)
    header, blocks = hashlib.sha256(), hashlib.sha256()
    with open(path, "rb") as stream:
        start = stream.read(8)
        (length,) = struct.unpack("<Q", start)
        if length > HEADER_LIMIT:
            raise ValueError("a header of %d bytes" % length)
        header.update(start)
        header.update(stream.read(length))
        for offset in sample_offsets(size):
            if end is not None and time.monotonic() > end:
                return None
            stream.seek(offset)
            blocks.update(stream.read(SAMPLE_BLOCK))
    return {"size": size, "header_sha256": header.hexdigest(), "blocks_sha256": blocks.hexdigest()}


def weight_samples(folder: str, known: Dict[str, str]) -> Dict[str, Dict[str, object]]:
    """A sample of each file of weights in a folder but the `known` ones, as many as `SAMPLE_SECONDS` allow."""
    end = time.monotonic() + SAMPLE_SECONDS
    found: Dict[str, Dict[str, object]] = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors") and is_weights(name) and name not in known:
            one = sample(os.path.join(folder, name), end)
            if one is None:
                break
            found[name] = one
    return found


def saved(folder: str, kind: str, limit: Optional[int]) -> Dict[str, object]:
    """The `saved` part of a manifest. `limit` is the number of bytes that may be read for digests; None for all."""
    if kind == "adapter":
        names = list(ADAPTER_FILES)
        config = json_file(os.path.join(folder, "adapter_config.json"))
        weights = ["adapter_model.safetensors"]
    else:
        weights = sorted(name for name in os.listdir(folder) if is_weights(name))
        names = list(MODEL_CONFIGS) + weights
        config = json_file(os.path.join(folder, "config.json"))
    found: Dict[str, object] = {"kind": kind, "config": config}
    listed: List[Dict[str, object]] = []
    for name in weights:
        path = os.path.join(folder, name)
        if name.endswith(".safetensors") and os.path.isfile(path):
            listed += tensors(path)
    if len(listed) > TENSOR_LIMIT:
        found["tensors_left_out"] = len(listed)
    else:
        found["tensors"] = listed
    found["files"], undigested = digests(folder, names, limit)
    if undigested:
        found["undigested"] = undigested
    return found


def tokenizer_files(folder: str, limit: Optional[int]) -> Dict[str, str]:
    return digests(folder, list(TOKENIZER_FILES), limit)[0]


def tokenizer_rules(folder: str) -> Optional[str]:
    """Digest of tokenizer.json without its head, which holds how it was last asked to truncate and to pad: a script
    whose rows come from a cache never asks. None where there is no such file, or it begins in another way."""
    path = os.path.join(folder, "tokenizer.json")
    try:
        with open(path, "rb") as stream:
            head = stream.read(_HEAD)
            start = head.find(_AFTER_HEAD)
            if start < 0:
                return None
            hashed = hashlib.sha256(head[start:])
            for block in iter(lambda: stream.read(1 << 20), b""):
                hashed.update(block)
    except OSError:
        return None
    return hashed.hexdigest()
