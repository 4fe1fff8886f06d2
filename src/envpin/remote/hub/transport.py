"""Requests through huggingface_hub's own session: retried where that may help, bodies read as far as wanted."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from envpin.core.errors import EnvpinError, NetworkError
from envpin.remote.hub.faults import TRANSIENT, cause_of, endpoint, explained, is_transport, library, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUT = 20.0  # seconds without a byte
# With waits of 0.5, 1, 2 and 4 s: a server that restarts is outlasted, one that is gone is told within 8 s.
_TRIES = 5
_FIRST_WAIT = 0.5
# A server that asks for a longer pause is not waited for; the message then says so.
_LONGEST_WAIT = 30.0
# Of a server that ignores `Range`, this much is read and dropped to get to what was asked for.
_SKIP_LIMIT = 64_000_000
_CHUNK = 16_384
_UNREACHED = frozenset({"ConnectError", "ConnectTimeout", "ConnectionError", "ProxyError", "SSLError"})


def request_headers() -> dict[str, str]:
    """The headers of every request, with the user's token where there is one. Never to be shown."""
    headers: dict[str, str] = library().utils.build_hf_headers(library_name="envpin")
    return headers


def file_url(repository: str, name: str, commit: str) -> str:
    url: str = library().hf_hub_url(repository, name, revision=commit)
    return url


def retried(call: Callable[[], object], what: str) -> Any:
    """What `call` returns. Statuses and faults that may pass are waited for; `what` names the repository.

    Raises:
        InputError: the repository, the revision or the file is not there, or may not be read.
        NetworkError: the Hub does not answer, or only with errors.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return call()
        except EnvpinError:
            raise
        except Exception as error:
            cause = cause_of(error)
            wait = _pause(cause, attempt)
            if wait is None or attempt == _TRIES:
                raise explained(cause, what) from error
            time.sleep(wait)
    raise AssertionError("unreachable")


def read_range(url: str, start: int, end: int, what: str) -> bytes:
    """The bytes `[start, end)` of a file, fewer where it ends before. A connection that drops is taken up again.

    Raises:
        InputError, NetworkError: as `retried`.
    """
    got = bytearray()

    def rest() -> None:
        first = start + len(got)
        if first >= end:
            return
        headers = {**request_headers(), "Range": f"bytes={first}-{end - 1}", "Accept-Encoding": "identity"}
        with _stream(url, headers) as response:
            if response.status_code == 416:  # begins behind the end of the file
                return
            _raise_for_status(response)
            skip = first if response.status_code == 200 else 0
            if skip > _SKIP_LIMIT:
                raise NetworkError(f"{endpoint()} ignores range requests, and `{what}` is too large to be read whole")
            for chunk in _chunks(response):
                part = chunk[skip:]
                skip -= min(skip, len(chunk))
                got.extend(part[: end - start - len(got)])
                if len(got) >= end - start:
                    return

    retried(rest, what)
    return bytes(got)


@contextlib.contextmanager
def open_from(url: str, start: int) -> Iterator[tuple[int, Iterator[bytes]]]:
    """A file from byte `start` on: where it really begins (0 where the server ignores `Range`), and its chunks."""
    headers = {**request_headers(), "Range": f"bytes={start}-", "Accept-Encoding": "identity"}
    with _stream(url, headers) as response:
        _raise_for_status(response)
        yield (start if response.status_code == 206 else 0), _chunks(response, 1 << 15)


@contextlib.contextmanager
def _stream(url: str, headers: dict[str, str]) -> Iterator[Any]:
    """An answer whose body is read as far as wanted."""
    session = library().utils.get_session()
    if hasattr(session, "stream"):  # httpx, huggingface_hub 1 and newer
        with session.stream("GET", url, headers=headers, timeout=TIMEOUT) as response:
            yield response
        return
    with session.get(url, headers=headers, timeout=TIMEOUT, stream=True) as response:
        yield response


def _chunks(response: Any, size: int = _CHUNK) -> Iterator[bytes]:
    if hasattr(response, "iter_raw"):
        yield from response.iter_raw(size)
    else:
        yield from response.iter_content(size)


def _raise_for_status(response: object) -> None:
    library().utils.hf_raise_for_status(response)


def _pause(error: Exception, attempt: int) -> float | None:
    """Seconds to wait before another try; None where none can help."""
    wait: float = _FIRST_WAIT * 2 ** (attempt - 1)
    status = status_of(error)
    if status is None:
        unreached = type(error).__name__ in _UNREACHED and attempt > 1  # a second try for a hiccup, no more
        return wait if is_transport(error) and not unreached else None
    if status not in TRANSIENT:
        return None
    asked: str = getattr(error, "response").headers.get("Retry-After", "")  # noqa: B009  no common type has it
    if asked.isdecimal():
        seconds = float(asked)
        return seconds if seconds <= _LONGEST_WAIT else None
    return wait
