"""The wheels of a resolved lock: each with a hash, and the tags of its file name."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from envpin.core.errors import BuildError
from envpin.core.files import digest_of_file, path_of_url


def with_hashes(document: dict[str, Any]) -> dict[str, object]:
    """A resolved lock document in which every wheel has a hash.

    uv before 0.12 gives none for wheels of a local folder, which are then hashed here; and some indexes give none at
    all, whose wheels are left out.

    Raises:
        BuildError: a package has no wheel with a hash.
    """
    for package in document.get("packages", []):
        wheels = package.get("wheels", [])
        for wheel in wheels:
            if not wheel.get("hashes") and str(wheel.get("url", "")).startswith("file:"):
                wheel["hashes"] = {"sha256": digest_of_file(path_of_url(wheel["url"]))}
        package["wheels"] = [wheel for wheel in wheels if wheel.get("hashes")]
        if not package["wheels"]:
            raise BuildError(
                f"the index gives no hash of any wheel of `{package['name']} {package.get('version', '')}`",
                hint="use an index that gives hashes (UV_DEFAULT_INDEX); nothing is installed without one",
            )
    return document


def file_tags(wheel: str) -> frozenset[str]:
    """The tags in the file name of a wheel, which may come as a URL."""
    from packaging.utils import parse_wheel_filename

    return frozenset(str(tag) for tag in parse_wheel_filename(unquote(urlsplit(wheel).path.rpartition("/")[2]))[3])
