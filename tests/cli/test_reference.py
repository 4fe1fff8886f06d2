"""Every command and verb has an example that its parser takes. That the pages are fresh: tests/unit/test_docs.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.cli.examples import EXAMPLES
from envpin.cli.parser import build_whole_parser
from tests.support.reference import generator

if TYPE_CHECKING:
    import argparse


@pytest.fixture(scope="module")
def parser() -> argparse.ArgumentParser:
    return build_whole_parser()


def test_every_command_and_verb_has_an_example(parser: argparse.ArgumentParser) -> None:
    names = {one.prog.partition(" ")[2] for one in generator().parsers(parser)} - {""}
    assert names == set(EXAMPLES)
    for one in generator().parsers(parser):
        if one.prog != "envpin":
            assert f"\nexample:\n  {EXAMPLES[one.prog.partition(' ')[2]]}\n" in one.format_help()


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_example_is_what_its_parser_takes(parser: argparse.ArgumentParser, name: str) -> None:
    program, *words = EXAMPLES[name].split()
    own = words[: words.index("--")] if "--" in words else words
    assert program == "envpin"
    assert " ".join(own).startswith(name.split(maxsplit=1)[0])
    parser.parse_args(own)
