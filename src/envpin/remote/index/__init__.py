"""The user's package index: releases with dates, and members of wheels by range request. The only HTTP importer.

Speaks the simple repository API as JSON (PEP 691) with upload times and sizes (PEP 700); yanked is PEP 592. Everything
that was read once is cached, pages with their ETag, wheel members by the hash of the wheel, so that the same question
can be asked again without a network.
"""

from __future__ import annotations

from envpin.core.index_settings import index_url
from envpin.remote.index.client import Index, releases
from envpin.remote.index.types import Release, ReleaseFile

__all__ = ["Index", "Release", "ReleaseFile", "index_url", "releases"]
