"""What Python raises, beside OSError, for bytes that are no zip or no gzip: each layer has errors of its own."""

from __future__ import annotations

import struct
import zipfile
import zlib

try:
    from lzma import LZMAError
except ImportError:  # a Python that was built without it cannot meet it
    LZMAError = zlib.error  # type: ignore[assignment,misc]

# RuntimeError: encrypted; NotImplementedError: an unknown compression; EOFError: a member that is cut off.
NOT_AN_ARCHIVE = (zipfile.BadZipFile, zlib.error, LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError,
                  ValueError, OverflowError)  # fmt: skip
