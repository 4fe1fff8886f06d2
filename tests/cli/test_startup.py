"""What `envpin --help` may import: the start-up budget, guarded by names instead of by a clock."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from envpin.core import process
from tests.support.command import envpin, variables

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import sys
before = set(sys.modules)
from envpin.cli.main import main
try:
    main(["--help"])
except SystemExit:
    pass
print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""
# Of the standard library: what argparse and json need, and what those need. Nothing from anywhere else.
ALLOWED = {
    "__future__", "_bz2", "_collections", "_compression", "_functools", "_heapq", "_json", "_locale", "_lzma",
    "_operator", "_sre", "_typing", "_weakrefset", "argparse", "bz2", "collections", "collections.abc",
    "contextlib", "copyreg", "enum", "errno", "fnmatch", "functools", "gettext", "heapq", "importlib",
    "itertools", "json", "keyword", "locale", "lzma", "operator", "re", "reprlib", "shutil", "struct",
    "textwrap", "types", "typing", "warnings", "zlib", "_struct", "abc", "_colorize", "_abc", "annotationlib",
    "ast", "_ast", "gc",
}  # fmt: skip
OURS = {
    "envpin", "envpin.cli", "envpin.cli.console", "envpin.cli.console.console", "envpin.cli.console.output",
    "envpin.cli.console.width",    "envpin.cli.main", "envpin.cli.parser", "envpin.cli.table", "envpin.core",
    "envpin.core.errors", "envpin.core.events", "envpin.core.interrupts", "envpin.version",
}  # fmt: skip


def test_help_imports_only_what_is_allowed() -> None:
    completed = process.run([sys.executable, "-I", "-c", PROGRAM])
    assert completed.status == 0, completed.stderr
    loaded = set(completed.stderr.split())
    ours = {name for name in loaded if name.split(".")[0] == "envpin"}
    assert ours == OURS
    # `json.decoder` is allowed because `json` is; typing brings pseudo modules (`typing.io`) on some releases.
    others = {name for name in loaded - ours if not {name, name.split(".")[0]} & ALLOWED}
    assert not others


def test_a_quick_resolve_goes_without_the_slow_imports(tmp_path: Path) -> None:
    """What each of these takes to import is most of what `matrix resolve` may take (benchmarks/matrix_resolve.py)."""
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "llama"}')
    program = PROGRAM.replace('["--help"]', f'["matrix", "resolve", {str(config)!r}]')
    for _ in range(2):  # the first fills the cache
        completed = process.run([sys.executable, "-c", program], env={**variables(), "ENVPIN_HOME": str(tmp_path)})
        assert completed.status == 0, completed.stderr
    slow = {"msgspec", "dataclasses", "inspect", "tomllib", "packaging", "rich", "hashlib", "urllib3", "platformdirs"}
    assert not slow & {name.split(".")[0] for name in completed.stderr.split()}


def test_an_unknown_command_gets_a_suggestion() -> None:
    completed = envpin("repaly")
    assert completed.status == 2
    assert "did you mean `envpin replay`?" in completed.stderr


def test_nothing_at_all_shows_the_help() -> None:
    completed = envpin()
    assert completed.status == 2
    assert "commands:" in completed.stdout
