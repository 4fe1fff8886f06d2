"""huggingface_hub itself, where the Hub is, and its errors in envpin's own words.

huggingface_hub from 0.34 (with requests) on; its HTTP library is never imported here, only used through it.
"""

from __future__ import annotations

import errno
import os
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from envpin.core.errors import DiskFullError, InfrastructureError, InputError, NetworkError

_HTTP_LIBRARIES = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"})
# Their words for an address that is none.
_NO_ADDRESS = frozenset({"InvalidURL", "UnsupportedProtocol", "MissingSchema", "InvalidSchema", "LocationParseError"})
# What may pass by itself.
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


@cache
def library() -> Any:
    """huggingface_hub, with its own progress bars and warnings off: envpin draws and words them itself."""
    import huggingface_hub.errors
    import huggingface_hub.utils

    utils: Any = huggingface_hub.utils
    # A variable of the user's that forces the bars on would make the call warn; then they stay on.
    if os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS", "1").upper() not in {"0", "FALSE", "NO", "OFF"}:
        utils.disable_progress_bars()
    utils.logging.set_verbosity_error()
    return huggingface_hub


def endpoint() -> str:
    """Where the Hub is, by `HF_ENDPOINT`, as it may appear in a message: without credentials."""
    split = urlsplit(str(library().constants.ENDPOINT))
    return urlunsplit(split._replace(netloc=split.netloc.rpartition("@")[2]))


def is_offline() -> bool:
    """Whether the user's variables forbid the network, by huggingface_hub's rules; asked without importing it."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in {"1", "ON", "YES", "TRUE"}


def status_of(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def is_transport(error: BaseException) -> bool:
    """Whether the connection failed, be it httpx' error, requests' or the system's own."""
    if type(error).__module__.partition(".")[0] in _HTTP_LIBRARIES:
        return type(error).__name__ not in _NO_ADDRESS
    return isinstance(error, (ConnectionError, TimeoutError)) and not is_offline_error(error)


def is_offline_error(error: BaseException) -> bool:
    return type(error).__name__ == "OfflineModeIsEnabled"


def offline_error(what: str) -> NetworkError:
    """For what is not in the cache while the network is forbidden."""
    return NetworkError(
        f"`{what}` is not in the Hub cache, and offline was asked for",
        hint="run it once without --offline and without HF_HUB_OFFLINE",
    )


def cause_of(error: Exception) -> Exception:
    """The fault itself, where huggingface_hub says of it only that the cache cannot help either."""
    local = isinstance(error, library().errors.LocalEntryNotFoundError)
    return error.__cause__ if local and isinstance(error.__cause__, Exception) else error


def explained(error: Exception, what: str) -> Exception:
    """envpin's own error for one of huggingface_hub; an error of another kind stays as it is."""
    known = _of_repository(error, what)
    if known is not None:
        return known
    status = status_of(error)
    if status is not None:
        return _of_status(error, status, what)
    return _of_machine(error, what)


def _of_repository(error: Exception, what: str) -> Exception | None:
    """What the Hub says in a header of its own."""
    errors = library().errors
    if isinstance(error, errors.GatedRepoError):
        return _gated(what)
    if isinstance(error, errors.RepositoryNotFoundError):
        return _not_found(what)
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(f"`{what}`: the repository has no such revision", hint=f"see {_page(what)}/commits/main")
    if isinstance(error, errors.EntryNotFoundError):
        return InputError(f"`{what}` has no such file any more", hint=f"see {_page(what)}/tree/main")
    return None


def _of_machine(error: Exception, what: str) -> Exception:
    if is_offline_error(error):
        return offline_error(what)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DiskFullError("the disk of the Hub cache is full", hint="free some space, or set HF_HUB_CACHE")
    if type(error).__name__ in _NO_ADDRESS:
        return InputError(
            f"HF_ENDPOINT is `{without_token(endpoint())[:100]}`, which is no address",
            hint="write it as https://host, or unset it",
        )
    if is_transport(error):
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        return NetworkError(
            f"`{what}`: {endpoint()} cannot be reached: {without_token(reason)}",
            hint="check the connection and HF_ENDPOINT; --offline uses what the Hub cache holds",
        )
    if isinstance(error, OSError):
        return InfrastructureError(f"`{what}`: {without_token(str(error).partition(chr(10))[0][:300])}")
    return error


def _of_status(error: Exception, status: int, what: str) -> Exception:
    response: Any = getattr(error, "response")  # noqa: B009  as above
    if status in {401, 403}:
        said = response.headers.get("X-Error-Message")
        refused = "does not accept your token" if _has_token() else "wants a token"
        text = f"`{what}`: {endpoint()} {refused}" + (f": {without_token(said[:200])}" if said else "")
        return InputError(text, hint="log in with `hf auth login`, or set HF_TOKEN to a token that may read it")
    if status == 429:
        return NetworkError(
            f"`{what}`: {endpoint()} limits the rate of requests", hint="wait some minutes, or set HF_TOKEN"
        )
    if status in TRANSIENT or status >= 500:
        return NetworkError(f"`{what}`: {endpoint()} answers with status {status}", hint="try again later")
    return InputError(f"`{what}`: {endpoint()} refuses the request with status {status}")


def _gated(what: str) -> InputError:
    if _has_token():
        return InputError(
            f"`{_repository(what)}` is gated, and your token has no access to it",
            hint=f"ask for access at {_page(what)}",
        )
    return InputError(
        f"`{_repository(what)}` is gated: its owner wants to know who reads it",
        hint=f"accept its terms at {_page(what)}, then log in with `hf auth login` or set HF_TOKEN",
    )


def _not_found(what: str) -> InputError:
    if _has_token():
        access = "your token may not be allowed to see it"
    else:
        access = "a private repository needs a token: `hf auth login`, or HF_TOKEN"
    hint = f"check the spelling (no folder here is called so either); {access}"
    return InputError(f"`{_repository(what)}` is no repository at {endpoint()}", hint=hint)


def _page(what: str) -> str:
    return f"{endpoint()}/{_repository(what)}"


def _repository(what: str) -> str:
    """The id in `user/name`, `user/name@revision` or `user/name:file`."""
    return what.partition(":")[0].partition("@")[0]


def _has_token() -> bool:
    return bool(library().get_token())


def without_token(text: str) -> str:
    """A text of somebody else's without the user's token, should it stand in there."""
    token = library().get_token()
    return text.replace(str(token), "…") if token else text
