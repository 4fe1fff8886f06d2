"""The lines of a RECORD, by the path in the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.envs.store.integrity import recorded_files

if TYPE_CHECKING:
    from pathlib import Path

SITE = "lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alpha/__init__.py,sha256=x,5\n", [(f"{SITE}/alpha/__init__.py", "sha256=x", 5)]),
        ("alpha.py,sha256=x,5\r\nbeta.py,,\r\n", [(f"{SITE}/alpha.py", "sha256=x", 5), (f"{SITE}/beta.py", "", None)]),
        ("../../../bin/tool,sha256=x,5\n", [("bin/tool", "sha256=x", 5)]),
        ("alpha.py,,\n../../../../outside,sha256=x,5\n", [(f"{SITE}/alpha.py", "", None)]),
        ("/etc/passwd,sha256=x,5\n", []),
        ("./alpha/./b.py,,\n", [(f"{SITE}/alpha/b.py", "", None)]),
        ("alpha//b.py,,\n", [(f"{SITE}/alpha/b.py", "", None)]),
        ('"alpha, beta.py",sha256=x,5\n', [(f"{SITE}/alpha, beta.py", "sha256=x", 5)]),
        ('"al\npha.py",,7\n', [(f"{SITE}/al\npha.py", "", 7)]),
        ("of four,sha256=x,5,more\nalpha.py,sha256=x\n\n", []),
        ("alpha.py,sha256=x,many\n", [(f"{SITE}/alpha.py", "sha256=x", None)]),
        (f"alpha.py,sha256=x,{'9' * 30}\n", [(f"{SITE}/alpha.py", "sha256=x", None)]),
    ],
)
def test_lines_of_a_record_name_files_inside_the_environment(
    tmp_path: Path, text: str, expected: list[tuple[str, str, int | None]]
) -> None:
    info = tmp_path / SITE / "alpha-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text(text, encoding="utf-8", newline="")
    assert [(one.name, one.digest, one.size) for one in recorded_files(tmp_path, "alpha", info)] == expected
