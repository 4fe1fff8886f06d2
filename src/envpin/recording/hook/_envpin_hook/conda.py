"""The packages of a conda environment, from conda's own list in it. Read, never started.

conda keeps one JSON file for each package, `conda-meta/NAME-VERSION-BUILD.json`. Some are megabytes (they list every
file), so the name tells what it tells, and only the start is read for the channel, which comes before the files.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Dict, List

_HEAD = 4096
_NAME = re.compile(r"^(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.json$")
_CHANNEL = re.compile(r'"channel":\s*"([^"]*)"')
_CREDENTIALS = re.compile(r"//[^/@]*@|/t/[^/]*/")


def packages(prefix: str = sys.prefix) -> List[Dict[str, str]]:
    """Name, version, build and channel of each package; empty where the interpreter is not conda's."""
    folder = os.path.join(prefix, "conda-meta")
    if not os.path.isdir(folder):
        return []
    found = []
    for entry in sorted(os.listdir(folder)):
        matched = _NAME.match(entry)
        if matched is None:
            continue
        one = dict(matched.groupdict())
        with open(os.path.join(folder, entry), encoding="utf-8", errors="replace") as stream:
            channel = _CHANNEL.search(stream.read(_HEAD))
        if channel is not None:
            one["channel"] = _CREDENTIALS.sub("//", channel.group(1))
        found.append(one)
    return found
