"""What msgspec raises for bytes that are no document of a shape: three kinds, of which two are none of its own."""

from __future__ import annotations

import msgspec

# Not JSON or another shape; a text that is not UTF-8; nested deeper than Python goes.
NOT_OF_ITS_SHAPE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
