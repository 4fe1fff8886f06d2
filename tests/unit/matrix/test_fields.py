"""The fields of configs over releases, as the file beside the matrix holds them."""

from __future__ import annotations

from envpin.matrix.fields import Fields, encode_fields, load_fields, value_at


def test_the_file_is_what_its_writer_writes() -> None:
    fields = load_fields()
    assert fields.packages["peft"].releases[0] == "0.0.1"
    from envpin.matrix.fields import fields_path

    assert encode_fields(fields) == fields_path().read_bytes()
    assert isinstance(fields, Fields)


def test_a_value_holds_from_where_it_stands() -> None:
    assert value_at(((2, "a"), (5, "b")), 1) is None
    assert value_at(((2, "a"), (5, "b")), 4) == "a"
    assert value_at(((2, "a"), (5, "b")), 9) == "b"


def test_the_newest_key_of_each_release_is_the_known_one() -> None:
    """peft's own release notes, by hand, for a sample."""
    first = load_fields().first_releases()
    assert {key: first[key] for key in ("use_dora", "layer_replication", "eva_config", "target_parameters")} == {
        "use_dora": "0.9.0", "layer_replication": "0.10.0", "eva_config": "0.14.0", "target_parameters": "0.17.0",
    }  # fmt: skip
    assert "runtime_config" not in first  # never saved
