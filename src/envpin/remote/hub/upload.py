"""A commit of files to a repository of the Hub: a file is sent only where its bytes have the digest that they must."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from envpin.core.errors import EnvpinError, InputError, NetworkError, RefusedError
from envpin.core.events import Step
from envpin.core.hub_id import is_hub_id
from envpin.core.sizes import counted
from envpin.remote.hub.faults import cause_of, explained, is_offline, library
from envpin.remote.hub.transport import retried

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from envpin.core.events import Listener


class UploadFile(NamedTuple):
    """`source` is a file or its bytes; `sha256` what they must be, None where nothing was proved of them."""

    name: str
    source: Path | bytes
    sha256: str | None = None


class UploadedCommit(NamedTuple):
    url: str
    commit: str


def refuse_bad_name(repository: str) -> None:
    """
    Raises:
        InputError: no repository of the Hub can be called so.
    """
    if not is_hub_id(repository) or "/" not in repository:
        raise InputError(f"`{repository}` is not a repository of the Hub", hint="give user/name")


def upload(
    repository: str, files: Sequence[UploadFile], *, message: str, private: bool, revision: str | None,
    listener: Listener, offline: bool = False,
) -> UploadedCommit:  # fmt: skip
    """Make the repository where it is missing, and commit `files` to it at once.

    The user's token and `HF_ENDPOINT` are those of huggingface_hub.

    Raises:
        InputError: no repository can be called so, or it may not be written.
        NetworkError: the Hub does not answer, or offline was asked for.
        RefusedError: a file changed after it was looked at; nothing was committed.
    """
    refuse_bad_name(repository)
    if offline or is_offline():
        raise NetworkError(f"`{repository}` cannot be written to: offline was asked for", hint="unset HF_HUB_OFFLINE")
    api = library().HfApi(library_name="envpin")
    operations = [_operation(one) for one in files]
    retried(lambda: api.create_repo(repository, private=private or None, exist_ok=True), repository)
    if revision is not None:
        retried(lambda: api.create_branch(repository, branch=revision, exist_ok=True), repository)
    title = f"upload {counted(len(files), 'file')} to {repository}"
    listener(Step(key="upload", title=title))
    try:
        # Not sent again where the answer is lost: the commit may have been made.
        info = _explaining(
            lambda: api.create_commit(repository, operations, commit_message=message, revision=revision), repository
        )
    except Exception:
        listener(Step(key="upload", title=title, state="failed"))
        raise
    listener(Step(key="upload", title=title, state="done", detail=f"commit {str(info.oid)[:12]}"))
    return UploadedCommit(url=str(info.commit_url), commit=str(info.oid))


def _operation(one: UploadFile) -> object:
    source = one.source if isinstance(one.source, bytes) else str(one.source)
    try:
        operation = library().CommitOperationAdd(path_in_repo=one.name, path_or_fileobj=source)
        found = operation.upload_info.sha256.hex()
    except (OSError, ValueError) as error:
        raise InputError(f"`{one.name}` cannot be uploaded: {error}", path=str(one.source)[:200]) from error
    if one.sha256 is not None and found != one.sha256:
        raise RefusedError(f"`{one.name}` has changed since it was looked at", hint="run the same command again")
    return operation


def _explaining(call: Callable[[], Any], what: str) -> Any:
    try:
        return call()
    except EnvpinError:
        raise
    except Exception as error:
        raise explained(cause_of(error), what) from error
