"""The test of a module is found by its name: src/envpin/a/b.py has tests/unit/a/test_b.py."""

from __future__ import annotations

import ast
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from tests.support.places import ROOT, SOURCE
from tests.support.syntax import nodes

if TYPE_CHECKING:
    from pathlib import Path

UNIT = ROOT / "tests" / "unit"
ACROSS = {"test_docs.py", "test_mirror.py", "test_scheduling.py", "test_structure.py"}
# Modules without a unit test of their own, and what tests them. A pattern stands for a folder whose modules do nothing
# without the outside world: a mock of it would test the mock.
ELSEWHERE = {
    "__main__.py": "tests/cli",
    "api.py": "tests/e2e",
    "cli/*": "tests/cli",  # the whole command is run, since what counts is what it prints
    "demo/*": "tests/e2e/test_demo.py",
    "workers/*": "tests/workers",  # runs inside environments with torch
    "recording/*": "tests/integration/test_record_runs.py",  # the hook in real runs
    "remote/*": "tests/integration/test_index.py",  # simulated servers
    "envs/*": "tests/integration/test_envs_store.py",  # real uv
    "sweep/*": "tests/integration/test_sweep.py",
    "bisect/*": "tests/integration/test_bisect_package.py",
    "bundle/*": "tests/integration/test_bundle_restores.py",  # restore.sh is run
    "replay/*": "tests/e2e/test_replay_merge.py",
    "scan/*": "tests/unit/scan/test_run.py",
    "report/*": "tests/integration/test_matrix_page.py",
    "evidence/*": "tests/integration/test_matrix_collect.py",
    "host/worker.py": "tests/workers",
    "host/session.py": "tests/integration/test_worker_session.py",
    "host/bytecode.py": "tests/integration/test_bytecode.py",
    "proof/*": "tests/unit/proof/test_verdict.py",
    "diagnose/*": "tests/support/faults.py",  # each fault of the catalogue is made and found
    "checkpoint/formats/*": "tests/property/test_hostile_files.py",
    "checkpoint/*": "tests/unit/checkpoint/test_checkpoint.py",
    "inference/rules_*": "tests/unit/inference/test_infer_eras.py",  # what real releases wrote
    "inference/*": "tests/unit/inference/test_infer_wild.py",
    "core/*": "tests/integration",
    "matrix/convert.py": "tests/unit/matrix/test_load.py",
    "matrix/types.py": "tests/unit/matrix/test_load.py",
    "matrix/literals.py": "tests/unit/matrix/test_view.py",
    "matrix/where.py": "tests/unit/matrix/test_load_overlay.py",
    "manifest/types.py": "tests/unit/manifest/test_read.py",
}
# The modules that decide. Whatever else tests them, the row of a table and the number that decides are tested here.
DECIDING = (
    "bisect/environments/changed.py", "bisect/search/axis.py", "bisect/search/belief.py", "bisect/search/search.py",
    "bisect/search/selection.py", "checkpoint/embedding.py", "envs/store/identity.py",
    "inference/choose.py", "inference/combine.py", "manifest/closure.py", "manifest/compare.py", "matrix/match.py",
    "matrix/nearest.py", "matrix/signs.py", "matrix/support.py", "replay/training/judge.py", "replay/training/steps.py",
    "replay/verdict.py",
)  # fmt: skip


def mirrored(test: Path) -> Path | None:
    """The module that a test is named after: `test_b.py` or `test_b_<aspect>.py`, the longest name that there is."""
    folder = SOURCE / test.relative_to(UNIT).parent
    words = test.stem.removeprefix("test_").split("_")
    for end in range(len(words), 0, -1):
        module = folder / ("_".join(words[:end]) + ".py")
        if module.is_file():
            return module
    return None


def modules_with_functions() -> list[Path]:
    return [
        path
        for path in sorted(SOURCE.rglob("*.py"))
        if path.name != "__init__.py" and any(isinstance(node, ast.FunctionDef) for node in nodes(path))
    ]


def test_each_unit_test_is_named_after_a_module() -> None:
    strays = [str(one.relative_to(UNIT)) for one in UNIT.rglob("test_*.py") if mirrored(one) is None]
    assert sorted(strays) == sorted(ACROSS), "move a test along with its module"


def test_each_module_has_its_unit_test_or_is_tested_elsewhere() -> None:
    tested = {mirrored(one) for one in UNIT.rglob("test_*.py")}
    lost = [
        name
        for path in modules_with_functions()
        if path not in tested
        and not any(fnmatch(name := path.relative_to(SOURCE).as_posix(), pattern) for pattern in ELSEWHERE)
    ]
    assert lost == [], "write tests/unit/<folder>/test_<module>.py, or say in ELSEWHERE what tests it"
    assert [place for place in ELSEWHERE.values() if not (ROOT / place).exists()] == []


def test_each_module_that_decides_has_its_own_unit_test() -> None:
    tested = {mirrored(one) for one in UNIT.rglob("test_*.py")}
    assert [name for name in DECIDING if SOURCE / name not in tested] == []


def test_no_unit_test_imports_another_test() -> None:
    for path in UNIT.rglob("*.py"):
        for node in nodes(path):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                assert ".test_" not in node.module, f"{path}: what two tests need goes to tests/support"
