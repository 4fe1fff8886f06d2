"""The HTTP client of an index: retries, certificates, proxies, credentials, and a cache that works offline."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from packaging.utils import canonicalize_name

from envpin.core import json_input
from envpin.core.errors import InputError, NetworkError
from envpin.core.files import digest, write_cache
from envpin.core.index_settings import index_url
from envpin.core.resources import cache_path
from envpin.core.sizes import counted
from envpin.remote.index.ranges import WheelContents, open_wheel
from envpin.remote.index.types import Release, ReleaseFile, parse_releases
from envpin.remote.index.where import without_credentials

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from envpin.core.range_file import RangeFile

_ACCEPT = "application/vnd.pypi.simple.v1+json"
# As PyPI's own pages say (`Cache-Control: max-age=600`).
_FRESH_SECONDS = 600.0
# A page has some 400 bytes for each file; those of the most released packages reach 10 MB.
_PAGE_BYTES = 100_000_000
_BLOCK = 1 << 20
# Too many requests, and the errors of servers and gateways that pass by themselves.
_STATUS_RETRIED = (429, 500, 502, 503, 504)
# Source distributions of the packages that have no wheels are below 10 MB.
_SOURCE_BYTES = 40_000_000


def releases(package: str, *, offline: bool = False) -> list[Release]:
    """Every release of `package` on the user's index, oldest version first, pre-releases and yanked ones included.

    Raises:
        InputError: there is no such package, or the index answers something that is not the JSON simple API.
        NetworkError: the index cannot be reached, or `offline` and the answer is not cached.
    """
    return Index(offline=offline).releases(package)


class Index:
    """A client of one index. Safe to use from several threads at once."""

    def __init__(
        self,
        url: str | None = None,
        *,
        cache: Path | None = None,
        offline: bool = False,
        fresh_seconds: float = _FRESH_SECONDS,
        connections: int = 8,
        retries: int = 4,
    ) -> None:
        split = urlsplit((url or index_url()).rstrip("/"))
        if split.scheme not in {"http", "https"}:
            raise InputError(
                f"`{without_credentials(urlunsplit(split))}` is not an index over HTTP",
                hint="set UV_DEFAULT_INDEX to its URL",
            )
        self.url = urlunsplit(split._replace(netloc=split.netloc.rpartition("@")[2]))
        self._credentials = _basic(split.username, split.password)
        self._host = split.hostname
        self._cache = (cache_path() if cache is None else cache) / "index"
        self._offline = offline
        self._fresh = fresh_seconds
        self._http = _pool(self.url, connections, retries)

    def releases(self, package: str) -> list[Release]:
        """As the function `releases`."""
        name = canonicalize_name(package)
        url = f"{self.url}/{name}/"
        document = self._page(url, name)
        return parse_releases(document, name, base=url)

    def members(self, file: ReleaseFile, names: Iterable[str]) -> dict[str, bytes]:
        """The named members of a wheel, those that it has, fetched by range request and cached by its hash.

        Raises:
            InputError: the file is not a wheel that can be read.
            NetworkError: as `releases`.
        """
        wanted = list(names)
        folder = self._cache / "members" / (file.sha256 or digest(file.url))
        found: dict[str, bytes] = {}
        missing = []
        for name in wanted:
            kept = folder / digest(name)
            if kept.exists():
                data = kept.read_bytes()
                if data[:1] == b"+":
                    found[name] = data[1:]
            else:
                missing.append(name)
        if missing:
            fresh = self._fetch_members(file, missing)
            for name in missing:
                write_cache(folder / digest(name), b"+" + fresh[name] if name in fresh else b"-")
            found.update(fresh)
        return found

    def member_names(self, file: ReleaseFile) -> list[str]:
        """The names in the wheel's own directory, cached like its members.

        Raises:
            InputError, NetworkError: as `members`.
        """
        kept = self._cache / "members" / (file.sha256 or digest(file.url)) / "names"
        if kept.exists():
            return kept.read_text(encoding="utf-8").splitlines()
        wheel, _ = self._open_wheel(file)
        names = wheel.namelist()
        write_cache(kept, "\n".join(names).encode())
        return names

    @contextmanager
    def wheel(self, file: ReleaseFile) -> Iterator[WheelContents]:
        """What is in a wheel, for reading much of it once: nothing of it is cached (see `remembered`).

        Raises:
            InputError, NetworkError: as `members`.
        """
        opened, reader = self._open_wheel(file)
        with opened:
            yield WheelContents(file.filename, opened, reader)

    def metadata(self, file: ReleaseFile) -> bytes:
        """The METADATA of a wheel: from the file that the index serves for it (PEP 658), else from inside the wheel.

        Raises:
            InputError, NetworkError: as `members`.
        """
        if file.has_metadata and not self._offline:
            response = self.request(f"{file.url}.metadata", {})
            if response.status == 200:
                return response.data
        with self.wheel(file) as contents:
            name = next((one for one in contents.names if one.endswith(".dist-info/METADATA")), "")
            return contents.read([name]).get(name, b"")

    def whole(self, file: ReleaseFile) -> bytes:
        """All bytes of a file, not cached: of a source distribution, which has no directory to read by ranges.

        Raises:
            InputError: it is larger than a source distribution is.
            NetworkError: as `releases`.
        """
        if self._offline:
            raise self._not_cached(file)
        if (file.size or 0) > _SOURCE_BYTES:
            raise InputError(f"`{file.filename}` has {counted(file.size, 'byte')}, which is too much to read")
        response = self.request(file.url, {})
        self.check(response.status, file.url)
        return response.data

    def remembered(self, file: ReleaseFile, question: str, answer: Callable[[], object]) -> Any:
        """What `answer` made of a wheel's contents, as plain data: made once, then kept by its hash and `question`.

        A wheel never changes, so the question must: with whatever else the answer depends on.
        """
        if file.sha256 is None:
            return answer()
        kept = self._cache / "answers" / file.sha256 / f"{digest(question)}.json"
        try:
            return json.loads(kept.read_bytes())
        except (OSError, ValueError):
            made = answer()
        write_cache(kept, json.dumps(made).encode())
        return made

    def _fetch_members(self, file: ReleaseFile, names: list[str]) -> dict[str, bytes]:
        wheel, reader = self._open_wheel(file)
        return WheelContents(file.filename, wheel, reader).read(names)

    def _open_wheel(self, file: ReleaseFile) -> tuple[zipfile.ZipFile, RangeFile]:
        if self._offline:
            raise self._not_cached(file)

        def ask(span: str) -> urllib3.BaseHTTPResponse:
            response = self.request(file.url, {"Range": span, "Accept-Encoding": "identity"})
            self.check(response.status, file.url)
            return response

        return open_wheel(file.filename, ask)

    def _not_cached(self, file: ReleaseFile) -> NetworkError:
        return NetworkError(
            f"the contents of `{file.filename}` are not cached, and offline was asked for",
            hint="run it once without --offline",
        )

    def _page(self, url: str, name: str) -> dict[str, object]:
        path = self._cache / "pages" / f"{digest(url)}.json"
        kept = _read_page(path)
        if kept is not None and (self._offline or time.time() - kept["fetched"] < self._fresh):
            page: dict[str, object] = kept["page"]
            return page
        if self._offline:
            raise NetworkError(
                f"the releases of `{name}` are not cached, and offline was asked for",
                hint="run it once without --offline",
            )
        headers = {"Accept": _ACCEPT}
        if kept is not None and kept.get("etag"):
            headers["If-None-Match"] = kept["etag"]
        response = self.request(url, headers)
        if response.status == 304 and kept is not None:
            _write_page(path, {**kept, "fetched": time.time()})
            unchanged: dict[str, object] = kept["page"]
            return unchanged
        if response.status == 404:
            raise InputError(f"`{name}` is not a package of {without_credentials(self.url)}", hint="check its spelling")
        self.check(response.status, url)
        page = _parse_page(response.data, url)
        _write_page(path, {"fetched": time.time(), "etag": response.headers.get("ETag"), "page": page})
        return page

    def request(self, url: str, headers: Mapping[str, str], *, stream: bool = False) -> urllib3.BaseHTTPResponse:
        """GET `url`, with the user's credentials only where the host is the index's own. Whole, unless `stream`.

        Raises:
            NetworkError: no answer after retries.
        """
        own = dict(headers)
        if self._credentials and urlsplit(url).hostname == self._host:
            own["Authorization"] = self._credentials
        try:
            return self._http.request("GET", url, headers=own, preload_content=not stream)
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise NetworkError(
                f"`{without_credentials(url)}` cannot be reached: {_plain_reason(reason)}",
                hint="check the network, UV_DEFAULT_INDEX, HTTPS_PROXY and SSL_CERT_FILE, or use --offline",
            ) from error

    def download(self, url: str, target: Path, arrived: Callable[[int], None]) -> None:
        """Write what `url` answers into the file `target`; `arrived` gets the bytes of each block.

        Raises:
            NetworkError: it cannot be had whole.
        """
        response = self.request(url, {"Accept-Encoding": "identity"}, stream=True)
        try:
            self.check(response.status, url)
            with target.open("wb") as stream:
                for block in response.stream(_BLOCK):
                    stream.write(block)
                    arrived(len(block))
        except urllib3.exceptions.HTTPError as error:
            raise NetworkError(
                f"`{without_credentials(url)}` stopped answering: {_plain_reason(error)}", hint="run it again"
            ) from error
        finally:
            response.release_conn()

    def check(self, status: int, url: str) -> None:
        """Raises:
        NetworkError: `status` is not that of an answer.
        """
        if status in {401, 403}:
            raise NetworkError(
                f"`{without_credentials(url)}` answered {status}: access is refused",
                hint="put the credentials into the index URL",
            )
        if status not in {200, 206}:
            raise NetworkError(
                f"`{without_credentials(url)}` answered {status}", hint="try again later, or use another index"
            )


def _pool(url: str, connections: int, retries: int) -> urllib3.PoolManager:
    policy = urllib3.Retry(
        total=retries, backoff_factor=0.25, status_forcelist=_STATUS_RETRIED, respect_retry_after_header=True,
        raise_on_status=False,
    )  # fmt: skip
    options: dict[str, Any] = {
        "retries": policy,
        "timeout": urllib3.Timeout(connect=15, read=60),
        "maxsize": connections,
        "headers": {"User-Agent": "envpin"},
    }
    for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"):
        if os.environ.get(name) and Path(os.environ[name]).is_file():
            options["ca_certs"] = os.environ[name]
            break
    proxy = urllib.request.getproxies().get(urlsplit(url).scheme)
    if proxy and not urllib.request.proxy_bypass(urlsplit(url).hostname or ""):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _parse_page(data: bytes, url: str) -> dict[str, Any]:
    try:
        page = json_input.parse(data, remarks=[], max_bytes=_PAGE_BYTES)
    except json_input.BadJsonError:
        page = None
    if not isinstance(page, dict) or not isinstance(page.get("files"), list):
        raise InputError(
            f"`{without_credentials(url)}` did not answer with the JSON simple API (PEP 691)",
            hint="set UV_DEFAULT_INDEX to an index that speaks it, such as https://pypi.org/simple",
        )
    return page


def _read_page(path: Path) -> dict[str, Any] | None:
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    fits = isinstance(kept, dict) and isinstance(kept.get("page"), dict) and isinstance(kept.get("fetched"), float)
    return kept if fits and isinstance(kept["page"].get("files"), list) else None


def _write_page(path: Path, document: Mapping[str, object]) -> None:
    write_cache(path, json.dumps(document).encode())


def _basic(username: str | None, password: str | None) -> str | None:
    if not username:
        return None
    plain = f"{unquote(username)}:{unquote(password or '')}"
    return str(urllib3.make_headers(basic_auth=plain)["authorization"])


def _plain_reason(reason: object) -> str:
    text = str(reason)
    return text.rpartition(">: ")[2] or text
