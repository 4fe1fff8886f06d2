"""Build the site of the docs in build/site: strictly, so that a link to nowhere fails.

The pages are gathered at the paths that they have here, so that their links hold, on GitHub as on the site. The build
runs in build/: Zensical empties `.cache` beside its settings, and at the top that folder is the store of the tests.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ZENSICAL = "zensical==0.0.73"
OUTSIDE = (*ROOT.glob("*.md"), ROOT / "LICENSE", ROOT / "src" / "envpin" / "workers" / "PROTOCOL.md")


def gather(pages: Path) -> None:
    """Copy every page to `pages`, which is made again."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(ROOT / "docs", pages / "docs")
    for path in OUTSIDE:
        target = pages / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def main() -> int:
    build = ROOT / "build"
    gather(build / "pages")
    shutil.copy(ROOT / "zensical.toml", build)
    uvx = Path(sys.executable).with_name("uvx")
    command = [str(uvx), "--quiet", "--from", ZENSICAL, "zensical", "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=build, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
