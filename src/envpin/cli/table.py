"""The static command table: what exists, in which module, in one line each. Importing it imports no command.

A command module (`envpin.cli.<module>`) has two functions::

    def add_arguments(parser: argparse.ArgumentParser) -> None
    def run(args: argparse.Namespace, console: Console) -> int

and nothing else in envpin parses arguments, prints or exits.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    name: str
    module: str
    summary: str


COMMANDS: tuple[Command, ...] = (
    Command("record", "record", "run a training command and leave envpin.json next to what it saves"),
    Command("jupyter", "jupyter", "kernels of Jupyter that are recorded without having envpin in them"),
    Command("replay", "replay", "merge an adapter in its own environment and prove it, or repeat its training"),
    Command("verify", "verify", "tell whether a merged model still is what its merge proved"),
    Command("prove", "prove", "tell whether a merge, whoever made it, is this base plus this adapter"),
    Command("check", "check", "tell, loading nothing, whether an adapter will load and merge"),
    Command("diagnose", "diagnose", "explain an error log: the cause, the evidence, the command that fixes it"),
    Command("infer", "infer", "tell from what an adapter left behind which environment trained it"),
    Command("scan", "scan", "every model and adapter below a folder: what made it, and whether it can be merged"),
    Command("diff", "diff", "compare two adapters, models, manifests or locks"),
    Command("report", "report", "write a page of a merged model, a recorded run or a comparison"),
    Command("card", "card", "write what was recorded or proved into a model card"),
    Command("push", "push", "upload a merged model with its card and proof, and nothing that is not proved"),
    Command("run", "run", "run a command inside a pinned environment"),
    Command("env", "env", "create, list, show, verify and prune pinned environments"),
    Command("bundle", "bundle", "one archive that restores and merges without a network and without envpin"),
    Command("lock", "lock", "write a PEP 751 lock for a family, an adapter or literal pins"),
    Command("matrix", "matrix", "which versions work for which model family"),
    Command("bisect", "bisect", "find the release that broke or fixed something"),
    Command("demo", "demo", "the whole story on a tiny real model, narrated"),
    Command("completion", "completion", "print a completion script for bash, zsh or fish"),
)
