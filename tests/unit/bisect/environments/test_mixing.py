"""Mixtures of two locks: exactly the moved packages come from the bad end, and nothing is resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.bisect.environments.mixing import Ends, declared_requirements
from envpin.envs.locks.lock import parse_lock

if TYPE_CHECKING:
    from pathlib import Path

HASH = "0" * 64


def lock(*packages: tuple[str, str, str | None]) -> str:
    lines = ['lock-version = "1.0"', 'created-by = "uv"', 'requires-python = ">=3.9"']
    for name, version, marker in packages:
        lines += ["", "[[packages]]", f'name = "{name}"', f'version = "{version}"']
        if marker:
            lines.append(f'marker = "{marker}"')
        url = f"https://files.pythonhosted.org/{name}-{version}-py3-none-any.whl"
        lines.append(f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{HASH}" }} }}]')
    return "\n".join(lines) + "\n"


GOOD = lock(("same", "1.0", None), ("moves", "1.0", None), ("goes", "1.0", None),
            ("split", "1.0", "python_version < '3.10'"), ("split", "2.0", "python_version >= '3.10'"))  # fmt: skip
BAD = lock(("same", "1.0", None), ("moves", "2.0", None), ("comes", "1.0", None), ("split", "2.0", None))


def ends(python: str = "3.11") -> Ends:
    return Ends(parse_lock(GOOD), parse_lock(BAD), python=python)


def versions(text: str) -> dict[str, str]:
    return {package.name: str(package.version) for package in parse_lock(text).packages}


def test_the_changes_are_those_that_apply_to_this_python() -> None:
    assert [str(change) for change in ends().changes] == ["comes absent → 1.0", "goes 1.0 → absent", "moves 1.0 → 2.0"]
    assert "split 1.0 → 2.0" in [str(change) for change in ends("3.9").changes]


def test_a_mixture_takes_what_moved_and_leaves_the_rest() -> None:
    both = ends()
    assert versions(both.lock(frozenset()).text) == {"same": "1.0", "moves": "1.0", "goes": "1.0", "split": "2.0"}
    assert versions(both.lock(both.everything).text) == {"same": "1.0", "moves": "2.0", "comes": "1.0", "split": "2.0"}
    assert versions(both.lock(frozenset({"moves"})).text) == {
        "same": "1.0", "moves": "2.0", "goes": "1.0", "split": "2.0",
    }  # fmt: skip
    assert both.lock(frozenset({"moves"})).digest == both.lock(frozenset({"moves"})).digest
    assert both.lock(frozenset({"moves"})).digest != both.lock(frozenset()).digest
    assert str(both.lock(frozenset()).pylock.requires_python) == ">=3.11"


def test_what_is_declared_is_read_from_the_environment(tmp_path: Path) -> None:
    info = tmp_path / "lib" / "python3.11" / "site-packages" / "My_Pkg-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: My_Pkg\nVersion: 1.0\nRequires-Dist: other>=2\n\nRequires-Dist: not-this\n"
    )
    assert declared_requirements(tmp_path) == {("my-pkg", "1.0"): ["other>=2"]}
    assert declared_requirements(tmp_path / "nowhere") == {}
