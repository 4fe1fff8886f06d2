"""A Hub in this process: the routes that huggingface_hub asks, commits, gates, a second server as CDN, and faults.

Files are served from folders, so that a sparse one of 140 GB costs nothing. `bytes_sent` counts what bodies really
took; `requests` is a log. Routes as https://huggingface.co/docs/hub/api describes them, headers as
https://github.com/huggingface/huggingface_hub reads them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.hub_uploads import take, uploads_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_DIGEST_LIMIT = 50_000_000
_PAGE = 2
_BLOCK = 65_536


class Request(NamedTuple):
    """One request: `server` is `hub` or `cdn`; `range` and `authorization` are the headers, None where absent."""

    server: str
    method: str
    path: str
    range: str | None
    authorization: str | None


class File(NamedTuple):
    path: Path
    size: int
    digest: str
    lfs: bool


@dataclass
class Repo:
    """`gated` and `private` name the token that opens it; `refs` maps branches and tags to commits."""

    commits: dict[str, dict[str, File]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: str | None = None
    private: str | None = None


@dataclass
class Fault:
    """Hits requests whose path holds `path`, `times` times: a status, or a connection cut after `cut` body bytes.

    With `downloads` it hits only requests for all the rest of a file, not those for a part of it.
    """

    path: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    times: int = 1
    downloads: bool = False


@dataclass
class HubSimulator:
    """Start it with `with`. `variables` are what a child needs to use it; `writer` is the token that may upload."""

    repos: dict[str, Repo] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    ranges: bool = True
    sizes: bool = True
    bad_names: tuple[str, ...] = ()
    requests: list[Request] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    bytes_sent: int = 0
    writer: str = "hf_writer"
    received: dict[str, bytes] = field(default_factory=dict)
    uploads: Path = field(default_factory=uploads_folder)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self, name: str, folder: Path, *, branch: str = "main", gated: str | None = None, private: str | None = None
    ) -> str:
        """Publish what `folder` holds now as a new commit of `branch`; returns the commit."""
        repo = self.repos.setdefault(name, Repo())
        repo.gated, repo.private = gated or repo.gated, private or repo.private
        files = {str(path.relative_to(folder)): _file(path) for path in sorted(folder.rglob("*")) if path.is_file()}
        text = json.dumps([name, len(repo.commits), [(one, file.digest) for one, file in files.items()]])
        commit = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324  a name, as in git
        repo.commits[commit] = files
        repo.refs[branch] = commit
        return commit

    def variables(self, home: Path, **more: str) -> dict[str, str]:
        """An environment whose Hub is this one, with a cache and a token file of its own below `home`."""
        none = dict.fromkeys(("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), "")
        own = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return {**none, **own, "HF_HUB_DISABLE_XET": "1", "no_proxy": "127.0.0.1", **more}

    def paths(self, method: str = "GET") -> list[str]:
        return [one.path for one in self.requests if one.method == method]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_address[1]}"

    @property
    def cdn_url(self) -> str:
        return f"http://127.0.0.1:{self._servers[1].server_address[1]}"

    def __enter__(self) -> Self:
        self._servers = []
        for handler in (_HubHandler, _CdnHandler):
            server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), {"hub": self}))
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            self._servers.append(server)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        shutil.rmtree(self.uploads, ignore_errors=True)


def _file(path: Path) -> File:
    size = path.stat().st_size
    if size > _DIGEST_LIMIT:  # never downloaded by a test: any name will do
        digest = hashlib.sha256(f"{path.name} {size}".encode()).hexdigest()
    else:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return File(path, size, digest, path.suffix in {".safetensors", ".bin"} or size > 5_000_000)


def stored(path: Path, data: bytes) -> File:
    """A file that was sent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return _file(path)


class _Handler(BaseHTTPRequestHandler):
    hub: HubSimulator
    server_name = "hub"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        return None

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        with self.hub.lock:
            self.hub.requests.append(
                Request(self.server_name, self.command, unquote(self.path), self.headers.get("Range"),
                        self.headers.get("Authorization"))
            )  # fmt: skip
        self.cut = None
        fault = self._fault()
        if fault is not None and fault.status is not None:
            self.answer(fault.status, b"", fault.headers)
            return
        self.cut = fault.cut if fault is not None else None
        self.route()

    def route(self) -> None:
        raise NotImplementedError

    def _fault(self) -> Fault | None:
        with self.hub.lock:
            for fault in self.hub.faults:
                if (
                    fault.times > 0
                    and fault.path in unquote(self.path)
                    and (fault.cut is None or self.command == "GET")
                    and (not fault.downloads or (self.headers.get("Range") or "").endswith("-"))
                ):
                    fault.times -= 1
                    return fault
        return None

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.start(status, len(body), headers)
        if self.command != "HEAD":
            self.send(body)

    def start(self, status: int, length: int, headers: Mapping[str, str] | None = None) -> None:
        with self.hub.lock:
            self.hub.statuses[status] += 1
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def send(self, data: bytes) -> None:
        self.wfile.write(data)
        with self.hub.lock:
            self.hub.bytes_sent += len(data)

    def error(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        self.answer(status, body, {"X-Error-Code": code, "X-Error-Message": message})

    def serve(self, file: File, headers: Mapping[str, str]) -> None:
        """A file or a range of it, in blocks, until the client goes away or the fault says so."""
        span = self.headers.get("Range")
        first, last = 0, file.size - 1
        status, extra = 200, {"Accept-Ranges": "bytes", "ETag": f'"{file.digest}"', **headers}
        if span is not None and self.hub.ranges:
            begin, _, end = span.removeprefix("bytes=").partition("-")
            first = int(begin) if begin else max(0, file.size - int(end))
            last = min(last, int(end)) if end and begin else last
            if first >= file.size:
                self.answer(416, b"", {"Content-Range": f"bytes */{file.size}"})
                return
            status, extra = 206, {**extra, "Content-Range": f"bytes {first}-{last}/{file.size}"}
        self.start(status, last - first + 1, extra)
        if self.command != "GET":
            return
        left = last - first + 1 if self.cut is None else min(self.cut, last - first + 1)
        try:
            with file.path.open("rb") as stream:
                stream.seek(first)
                while left > 0:
                    block = stream.read(min(_BLOCK, left))
                    self.send(block)
                    left -= len(block)
        except OSError:  # the client has read enough
            self.close_connection = True
        if self.cut is not None:
            self.close_connection = True


class _CdnHandler(_Handler):
    """Signed addresses on another origin. A token must never come here."""

    server_name = "cdn"

    def route(self) -> None:
        digest = urlsplit(self.path).path.removeprefix("/blobs/")
        for repo in self.hub.repos.values():
            for files in repo.commits.values():
                for file in files.values():
                    if file.digest == digest:
                        self.serve(file, {})
                        return
        self.answer(403, b"expired")


class _HubHandler(_Handler):
    def do_POST(self) -> None:
        with self.hub.lock:
            self.hub.requests.append(
                Request("hub", self.command, unquote(self.path), None, self.headers.get("Authorization"))
            )
        take(self)

    do_PUT = do_POST  # noqa: N815  the name that http.server asks for

    def route(self) -> None:
        split = urlsplit(self.path)
        parts = [unquote(part) for part in split.path.strip("/").split("/")]
        if parts[:2] == ["api", "models"]:
            self._api(parts[2:], parse_qs(split.query))
        elif parts[:2] == ["api", "resolve-cache"]:
            name, files = "/".join(parts[3:5]), self._commit("/".join(parts[3:5]), parts[5])
            self.serve(files["/".join(parts[6:])], {"X-Repo-Commit": parts[5]}) if name in self.hub.repos else None
        else:
            self._resolve(parts)

    def _allowed(self, name: str, *, content: bool) -> bool:
        """Whether the token may see the repository; answers otherwise."""
        repo = self.hub.repos.get(name)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token == "broken":
            self.error(401, "", "Invalid credentials in Authorization header")
        elif repo is None or (repo.private is not None and token != repo.private):
            self.error(404 if token else 401, "RepoNotFound", "Repository not found")
        elif content and repo.gated is not None and token != repo.gated:
            self.error(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        else:
            return True
        return False

    def _commit(self, name: str, revision: str) -> dict[str, File]:
        repo = self.hub.repos[name]
        return repo.commits[repo.refs.get(revision, revision)]

    def _api(self, parts: list[str], query: dict[str, list[str]]) -> None:
        at = next((index for index, part in enumerate(parts) if part in {"revision", "tree"}), len(parts))
        name, revision = "/".join(parts[:at]), parts[at + 1] if at + 1 < len(parts) else "main"
        if not self._allowed(name, content=False):
            return
        repo = self.hub.repos[name]
        commit = repo.refs.get(revision, revision)
        if commit not in repo.commits:
            self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif at < len(parts) and parts[at] == "tree":
            self._tree(name, commit, query)
        else:
            blobs = query.get("blobs") == ["true"] or query.get("blobs") == ["True"]
            siblings = [self._sibling(one, file, blobs) for one, file in repo.commits[commit].items()]
            siblings += [{"rfilename": bad} for bad in self.hub.bad_names]
            document = {"_id": "0" * 24, "id": name, "modelId": name, "sha": commit, "private": bool(repo.private),
                        "gated": "manual" if repo.gated else False, "disabled": False, "downloads": 0, "likes": 0,
                        "tags": [], "siblings": siblings}  # fmt: skip
            self.answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _sibling(self, name: str, file: File, blobs: bool) -> dict[str, Any]:
        if not blobs or not self.hub.sizes:
            return {"rfilename": name}
        entry: dict[str, Any] = {"rfilename": name, "size": file.size, "blobId": file.digest[:40]}
        if file.lfs:
            entry["lfs"] = {"sha256": file.digest, "size": file.size, "pointerSize": 134}
        return entry

    def _tree(self, name: str, commit: str, query: dict[str, list[str]]) -> None:
        """Two entries a page, so that every listing has pages."""
        files = self.hub.repos[name].commits[commit]
        entries: list[dict[str, Any]] = []
        for one, file in files.items():
            folder, inner, _ = one.partition("/")
            if inner:
                entry = {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder}
            else:
                entry = {"type": "file", "oid": file.digest[:40], "size": file.size, "path": one}
                if file.lfs:
                    entry["lfs"] = {"oid": file.digest, "size": file.size, "pointerSize": 134}
            if entry not in entries:
                entries.append(entry)
        start = int(query.get("cursor", ["0"])[0])
        headers = {"Content-Type": "application/json"}
        if start + _PAGE < len(entries):
            path = f"{self.hub.url}/api/models/{name}/tree/{commit}?recursive=False&expand=False"
            headers["Link"] = f'<{path}&cursor={start + _PAGE}>; rel="next"'
        self.answer(200, json.dumps(entries[start : start + _PAGE]).encode(), headers)

    def _resolve(self, parts: list[str]) -> None:
        if "resolve" not in parts:
            self.error(404, "RepoNotFound", "no such page")
            return
        at = parts.index("resolve")
        name, revision, path = "/".join(parts[:at]), parts[at + 1], "/".join(parts[at + 2 :])
        if not self._allowed(name, content=True):
            return
        repo = self.hub.repos[name]
        commit = repo.refs.get(revision, revision)
        if commit not in repo.commits:
            self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        file = repo.commits[commit].get(path)
        if file is None:
            self.error(404, "EntryNotFound", "Entry not found")
            return
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", "ETag": f'"{file.digest}"'}
        if file.lfs:
            headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.digest}"',
                        "Location": f"{self.hub.cdn_url}/blobs/{file.digest}?Signature=abc"}  # fmt: skip
            self.answer(302, b"", headers)
        else:
            headers["Location"] = f"/api/resolve-cache/models/{name}/{commit}/{path}"
            self.answer(307, b"", {**headers, "X-Linked-Size": str(file.size)})
