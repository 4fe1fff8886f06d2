"""Configs of the shape that models are published with, the fields that decide only: what `resolve` makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from envpin.core.resources import data_path
from envpin.matrix.load import load_matrix
from envpin.matrix.match import match
from envpin.matrix.support import load_support, shipped_path

MATRIX, SUPPORT = load_matrix(data_path("compat_matrix.toml")), load_support(shipped_path())
DATA = Path(__file__).resolve().parents[2] / "data"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in (DATA / "names" / "configs.jsonl").read_text().splitlines()]
CASES = DATA / "cases" / "resolve"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_published_config_is_its_own_family_or_type(row: dict[str, Any]) -> None:
    found = match(row["config"], row["name"], MATRIX, SUPPORT)
    truth = row["truth"]
    if truth == "unknown":
        assert (found.family, found.certainty, dict(found.pins)) == (None, "unknown", {})
    elif truth.startswith(("type:", "remote:")):
        assert (found.family, found.certainty) == (None, "not listed")
        assert found.kind == ("native" if truth.startswith("type:") else "remote-code")
        assert (found.needs, found.notes) == ((), ())
        assert found.pins
    else:
        assert found.family is not None
        assert (found.family.id, found.basis) == (truth, "config")
        assert all(SpecifierSet(one.versions).contains(found.pins[one.package]) for one in found.needs if found.pins)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_pins_of_a_published_config_know_its_type(row: dict[str, Any]) -> None:
    found = match(row["config"], row["name"], MATRIX, SUPPORT)
    if found.pins and found.kind == "native":
        assert SUPPORT.knows(found.pins["transformers"], str(found.model_type))
        assert (found.exclude_newer or "") <= max(SUPPORT.collected, "2026-11-20")


def test_the_table_of_configs_has_at_least_120_with_those_beside_it() -> None:
    assert len(ROWS) + len([*(DATA / "configs").iterdir()]) + len([*CASES.iterdir()]) >= 120


def resolve(case: str) -> Any:
    config = json.loads((CASES / case / "config.json").read_text())
    return match(config, config.get("_name_or_path"), MATRIX, SUPPORT)


@pytest.mark.parametrize(
    ("case", "first"),
    [
        ("falcon_mamba", "4.45.0"),
    ],
)  # fmt: skip
def test_unlisted_type_takes_nothing_of_a_neighbour(case: str, first: str) -> None:
    found = resolve(case)
    assert (found.family, found.certainty, found.window) == (None, "not listed", (first, None))
    assert (found.needs, found.notes, found.alternatives) == ((), (), ())
    assert SpecifierSet(f">={first}").contains(found.pins["transformers"])
    titles = {one.title for one in MATRIX.families.values()}
    assert not any(title in line for title in titles for line in found.evidence)


@pytest.mark.parametrize(
    ("case", "family", "first"),
    [
        ("gpt_neox", "gpt-neox", "4.20.0"), ("pythia", "gpt-neox", "4.20.0"), ("gpt_bigcode", "starcoder", "4.28.0"),
        ("hunyuan_v1_dense", "hunyuan", "4.56.0"), ("hunyuan-7b", "hunyuan", "4.56.0"),
        ("smolvlm", "smolvlm2", "4.50.0"), ("glm-5", "glm-5", "5.2.0"),
    ],
)  # fmt: skip
def test_type_with_a_family_of_its_own_takes_nothing_of_a_neighbour(case: str, family: str, first: str) -> None:
    found = resolve(case)
    assert (found.family.id, found.certainty, found.alternatives) == (family, "exact", ())
    assert (found.family.match.model_type, found.window) == ((found.model_type,), (first, None))
    assert [(one.package, one.versions.split(",")[0]) for one in found.needs] == [("transformers", f">={first}")]
    assert SpecifierSet(f">={first}").contains(found.pins["transformers"])


def test_type_that_no_release_knows_has_no_pins() -> None:
    found = resolve("stablelm_epoch")
    assert (found.family, found.certainty, dict(found.pins), found.window) == (None, "unknown", {}, None)


def test_remote_code_is_pinned_by_the_release_that_saved_it() -> None:
    found = resolve("glmasr-remote-code")
    assert (found.family, found.kind, found.needs) == (None, "remote-code", ())
    assert found.pins["transformers"] == "4.51.3"


def test_chatglm2_is_no_glm_4() -> None:
    found = resolve("chatglm2")
    assert (found.family.id, found.kind) == ("chatglm2", "remote-code")
    assert "-hf" not in found.family.unpinnable
    assert SpecifierSet("<4.34").contains(found.pins["transformers"])


@pytest.mark.parametrize(
    ("case", "family", "good", "bad"),
    [
        ("width-pruned", "llama3.1", "4.45.0", ("4.43.1", "4.44.2")),
        ("head-dim-128", "mistral", "4.43.0", ("4.42.4",)),
        ("partial-rotary-075", "phi-4", "4.49.0", ("4.43.1", "4.48.0")),
        ("attn-temperature-4", "llama4", "5.2.0", ("5.0.0", "5.1.0", "5.4.0", "5.23.0", "5.24.0")),
    ],
)  # fmt: skip
def test_needs_of_a_family_depend_on_fields_of_the_config(
    case: str, family: str, good: str, bad: tuple[str, ...]
) -> None:
    found = resolve(case)
    assert found.family.id == family
    bounds = [SpecifierSet(one.versions) for one in found.needs if one.package == "transformers"]
    assert all(bound.contains(good) for bound in bounds)
    assert all(bound.contains(found.pins["transformers"]) for bound in bounds)
    for release in bad:
        assert not all(bound.contains(release) for bound in bounds), release


NAMES = [line.split("\t") for line in (DATA / "cases" / "names.tsv").read_text().splitlines()[1:]]


@pytest.mark.parametrize(("name", "forbidden", "wanted"), [row for row in NAMES if "/" in row[0]])
def test_bare_name_proves_nothing(name: str, forbidden: str, wanted: str) -> None:
    found = match(None, name, MATRIX, SUPPORT)
    assert found.certainty in {"by name", "unknown"}
    family = found.family.id if found.family else None
    assert family not in [part.partition(" ")[2].split()[0] for part in forbidden.split(";") if "family " in part]
    if "control" in wanted:
        assert family == wanted.split(maxsplit=1)[0]
    if "remote code" in wanted:
        assert (found.kind, dict(found.pins)) == ("remote-code", {})


def test_name_of_a_nemo_needs_the_release_that_reads_head_dim() -> None:
    found = match(None, "mistralai/Mistral-Nemo-Instruct-2407", MATRIX, SUPPORT)
    assert not all(SpecifierSet(one.versions).contains("4.42.4") for one in found.needs)


def test_name_of_a_diffusers_model_is_out_of_scope() -> None:
    found = match(None, "black-forest-labs/FLUX.1-dev", MATRIX, SUPPORT)
    assert (found.family, found.kind) == (None, "other")
    assert "diffusers" in found.notes[0]
