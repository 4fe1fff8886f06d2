"""The routes of a Hub that take files: repositories, branches, large files, commits.

As https://huggingface.co/docs/hub/api and https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md say. A commit
holds what the one before it held, but for what it changes. What is sent is looked at: a large file that has not the
sha256 it was announced with is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.hub_simulator import HubSimulator


class _Answering(Protocol):
    hub: HubSimulator
    path: str
    command: str
    headers: Any
    rfile: Any

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None: ...
    def error(self, status: int, code: str, message: str) -> None: ...


_JSON = {"Content-Type": "application/json"}


def take(handler: _Answering) -> None:
    """Answer a POST or PUT."""
    body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    path = unquote(urlsplit(handler.path).path)
    if path.startswith("/lfs/"):  # signed addresses take no token
        _store(handler, path.removeprefix("/lfs/"), body)
    elif (handler.headers.get("Authorization") or "") != f"Bearer {handler.hub.writer}":
        handler.error(401, "", "Invalid username or password.")
    elif path == "/api/repos/create":
        _create(handler, json.loads(body))
    elif path == "/api/validate-yaml":
        handler.answer(200, b'{"errors": [], "warnings": []}', _JSON)
    elif path.endswith(".git/info/lfs/objects/batch"):
        _batch(handler, json.loads(body))
    else:
        parts = path.strip("/").split("/")
        name, verb, revision = "/".join(parts[2:4]), parts[4], "/".join(parts[5:])
        {"preupload": _modes, "commit": _commit, "branch": _branch}[verb](handler, name, revision, body)


def _create(handler: _Answering, asked: dict[str, Any]) -> None:
    from tests.support.hub_simulator import Repo

    name = f"{asked.get('organization') or 'ada'}/{asked['name']}"
    known = name in handler.hub.repos
    repo = handler.hub.repos.setdefault(name, Repo())
    if not known:
        repo.private = handler.hub.writer if asked.get("private") or asked.get("visibility") == "private" else None
        repo.commits["0" * 40], repo.refs["main"] = {}, "0" * 40
    document = json.dumps({"url": f"{handler.hub.url}/{name}", "name": name, "id": name}).encode()
    handler.answer(409 if known else 200, document, _JSON)


def _branch(handler: _Answering, name: str, revision: str, _body: bytes) -> None:
    repo = handler.hub.repos[name]
    known = revision in repo.refs
    repo.refs.setdefault(revision, repo.refs["main"])
    handler.answer(409 if known else 200, b"{}", _JSON)


def _modes(handler: _Answering, name: str, revision: str, body: bytes) -> None:
    files = [
        {"path": one["path"], "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
         "shouldIgnore": False}
        for one in json.loads(body)["files"]
    ]  # fmt: skip
    handler.answer(200, json.dumps({"files": files}).encode(), _JSON)


def _batch(handler: _Answering, asked: dict[str, Any]) -> None:
    objects = [
        {"oid": one["oid"], "size": one["size"],
         "actions": {"upload": {"href": f"{handler.hub.url}/lfs/{one['oid']}", "header": {}}}}
        for one in asked["objects"]
    ]  # fmt: skip
    handler.answer(200, json.dumps({"transfer": "basic", "objects": objects}).encode(),
                   {"Content-Type": "application/vnd.git-lfs+json"})  # fmt: skip


def _store(handler: _Answering, digest: str, body: bytes) -> None:
    if hashlib.sha256(body).hexdigest() != digest:
        handler.answer(400, b"other bytes than announced")
        return
    handler.hub.received[digest] = body
    handler.answer(200, b"")


def _commit(handler: _Answering, name: str, revision: str, body: bytes) -> None:
    from tests.support.hub_simulator import stored

    repo = handler.hub.repos[name]
    lines = [json.loads(line) for line in body.splitlines() if line]
    files = dict(repo.commits[repo.refs[revision]])
    for line in lines:
        value = line["value"]
        if line["key"] == "file":
            files[value["path"]] = stored(handler.hub.uploads / value["path"], base64.b64decode(value["content"]))
        elif line["key"] == "lfsFile":
            files[value["path"]] = stored(handler.hub.uploads / value["path"], handler.hub.received[value["oid"]])
    commit = hashlib.sha1(body).hexdigest()  # noqa: S324  a name, as in git
    repo.commits[commit], repo.refs[revision] = files, commit
    document = {"commitUrl": f"{handler.hub.url}/{name}/commit/{commit}", "commitOid": commit}
    handler.answer(200, json.dumps(document).encode(), _JSON)


def uploads_folder() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="envpin-hub-"))
