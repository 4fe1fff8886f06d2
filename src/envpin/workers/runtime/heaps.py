"""What glibc does with memory that a worker has freed; nothing on other systems. Figures of `mallopt`: malloc.h."""

from __future__ import annotations

import contextlib
import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_HEAP_LIMIT = 1 << 23
_KEPT = 1 << 29


def bound_heaps() -> None:
    """Have whole weights given back to the system as soon as they are freed. By itself glibc soon takes up to 32 MB
    from the heaps that it has for each thread, and those break into pieces: a DoRA merge grew with the model, by four
    MB a layer. Blocks of rows stay below the threshold."""
    _set(_M_MMAP_THRESHOLD, _HEAP_LIMIT)


def keep_heaps() -> None:
    """Have the next weight lie where the last one was, up to 512 MB of them. Emptying new pages took a third of asking
    a DoRA model of 1.1 billion parameters."""
    _set(_M_MMAP_MAX, 0)
    _set(_M_TRIM_THRESHOLD, _KEPT)


def _set(parameter: int, value: int) -> None:
    if hasattr(os, "confstr") and "CS_GNU_LIBC_VERSION" in os.confstr_names:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(parameter, value)
