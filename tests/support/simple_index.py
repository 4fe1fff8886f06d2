"""A package index in this process: the JSON simple API, files with ranges and ETags, and faults on request."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import threading
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType


def wheel_bytes(members: Mapping[str, bytes]) -> bytes:
    """A wheel that holds `members`; enough for reading, not for installing."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in members.items():
            wheel.writestr(name, data)
    return stream.getvalue()


@dataclass
class SimpleIndex:
    """Start it with `with`. Faults are switched on by setting fields; `requests` counts (method, path)."""

    pages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    raw_page: bytes | None = None
    status: int | None = None
    fail_times: int = 0
    truncate: bool = False
    cut: bool = False
    ranges: bool = True
    credentials: str | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    bytes_sent: int = 0

    def add(
        self,
        filename: str,
        data: bytes = b"",
        *,
        uploaded: str | None = None,
        yanked: bool | str = False,
        requires_python: str | None = None,
        sha256: str | None = None,
    ) -> None:
        """Publish a file of the package that its name says. `sha256` is what the page says of it, "" for nothing."""
        name = filename.split("-", maxsplit=1)[0].replace("_", "-").lower()
        entry: dict[str, Any] = {
            "filename": filename,
            "url": f"../../files/{quote(filename)}",
            "hashes": {} if sha256 == "" else {"sha256": sha256 or hashlib.sha256(data).hexdigest()},
            "size": len(data),
            "yanked": yanked,
        }
        if requires_python is not None:
            entry["requires-python"] = requires_python
        if uploaded is not None:
            entry["upload-time"] = uploaded
        self.pages.setdefault(name, []).append(entry)
        self.files[filename] = data

    def add_build(self, label: str, filename: str, data: bytes) -> None:
        """Publish a build of torch as PyTorch does: on the HTML page `whl/LABEL/torch/`."""
        sha256 = hashlib.sha256(data).hexdigest()
        entry = {"filename": filename, "url": f"/files/{quote(filename)}#sha256={sha256}"}
        self.pages.setdefault(f"whl/{label}/{filename.split('-', maxsplit=1)[0]}", []).append(entry)
        self.files[filename] = data

    @property
    def torch_url(self) -> str:
        """What stands for https://download.pytorch.org/whl."""
        return self.url.removesuffix("/simple") + "/whl"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/simple"

    def __enter__(self) -> Self:
        self._listen(0)
        return self

    def stop(self) -> None:
        """Nobody answers any more, until `resume`: connections are refused."""
        self._server.shutdown()
        self._server.server_close()

    def resume(self) -> None:
        """Listen again, at the same address."""
        self._listen(self._server.server_address[1])

    def _listen(self, port: int) -> None:
        handler = type("Handler", (_Handler,), {"index": self})
        self._server = _Server(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # uv opens many connections at once, and gives up on one after seconds

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that was killed is no news
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    index: SimpleIndex
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        return None

    def do_GET(self) -> None:
        index = self.index
        index.requests.append((self.path, self.headers.get("Range")))
        if index.cut:
            self.close_connection = True  # the connection ends without an answer
        elif index.credentials is not None and self.headers.get("Authorization") != index.credentials:
            self._send(401, b"")
        elif index.fail_times > 0:
            index.fail_times -= 1
            self._send(503, b"")
        elif index.status is not None:
            self._send(index.status, b"")
        elif self.path.startswith("/files/"):
            self._file(unquote(self.path.removeprefix("/files/")))
        else:
            self._page(self.path.strip("/").removeprefix("simple/"))

    def do_HEAD(self) -> None:
        """uv asks for the length and for ranges before it reads a wheel's metadata."""
        data = self.index.files.get(unquote(self.path.removeprefix("/files/")))
        if self.index.cut:
            self.close_connection = True
            return
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        if self.index.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def _page(self, name: str) -> None:
        if name not in self.index.pages and self.index.raw_page is None:
            self._send(404, b"no such package")
            return
        body, kind = self.index.raw_page, "application/vnd.pypi.simple.v1+json"
        if body is None and name.startswith("whl/"):
            links = (f'<a href="{one["url"]}">{one["filename"]}</a><br/>' for one in self.index.pages[name])
            body, kind = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode(), "text/html"
        elif body is None:
            document = {"meta": {"api-version": "1.1"}, "name": name, "files": self.index.pages[name]}
            body = json.dumps(document).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if self.headers.get("If-None-Match") == etag:
            self._send(304, b"", {"ETag": etag})
        else:
            self._send(200, body, {"ETag": etag, "Content-Type": kind})

    def _file(self, name: str) -> None:
        data = self.index.files.get(name)
        span = self.headers.get("Range")
        if data is None:
            self._send(404, b"")
        elif span is None or not self.index.ranges:
            self._send(200, data)
        else:
            first, _, last = span.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, len(data) - int(last))
            end = int(last) if first else len(data) - 1
            part = data[start : end + 1]
            self._send(206, part, {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.index.statuses[status] += 1
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = body[: len(body) // 2] if self.index.truncate else body
        self.index.bytes_sent += len(sent)
        self.wfile.write(sent)
        if self.index.truncate:
            self.close_connection = True
