"""TOML that others wrote: everything that can be wrong with it is one error."""

from __future__ import annotations

from typing import Any


class BadTomlError(ValueError):
    """The text is not TOML that envpin accepts; the message says what is wrong with it."""


def parse_toml(text: str) -> dict[str, Any]:
    """The document of a TOML text.

    Raises:
        BadTomlError: it is not TOML, is nested too deep, or holds a number of thousands of digits.
    """
    import tomllib

    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise BadTomlError("nested too deep") from error
    except ValueError as error:  # TOMLDecodeError among others
        raise BadTomlError(str(error)) from error
