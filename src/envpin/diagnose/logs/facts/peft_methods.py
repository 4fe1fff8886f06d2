"""Methods that a peft does not know, or no longer: which release brought or dropped them. Pure but for collected data.

peft fails on them at its tables of configs and at its enum of methods, with a bare key.
"""

from __future__ import annotations

import re

from envpin.diagnose.logs.text.explained import Explained
from envpin.matrix.fields import load_fields

METHOD_ANCHORS = ("is not a valid PeftType", "KeyError: '", "KeyError: <PeftType.")
_METHOD = re.compile(r"'(\w{1,40})' is not a valid PeftType|KeyError: (?:<PeftType\.\w+: )?'([A-Z][A-Z0-9_]{1,40})'")


def explain_method(line: str) -> Explained | None:
    """None for a method that every release has, and for a key that is no method."""
    found = _METHOD.search(line)
    if found is None:
        return None
    facts, method = load_fields().packages["peft"], found[1] or found[2]
    known = facts.classes.get(method)
    if known is None:
        return None if found[1] is None else _unknown(method, facts.releases)
    first, last = known.spans[0][0], known.spans[-1][1]
    if last + 1 < len(facts.releases):
        kept, gone = facts.releases[last], facts.releases[last + 1]
        says = f"peft knows the method `{method}` from {facts.releases[first]} to {kept}, and no longer from {gone} on"
        return Explained("adapter-needs-older-peft", says, (f"run with peft ≤ {kept}: envpin run ADAPTER -- CMD",))
    if first == 0:
        return None
    says = f"peft knows the method `{method}` from {facts.releases[first]} on: this peft is older"
    return Explained("adapter-needs-newer-peft", says, (f"run with peft ≥ {facts.releases[first]}",))


def _unknown(method: str, releases: tuple[str, ...]) -> Explained:
    says = (
        f"no release of peft that was looked at ({releases[0]} to {releases[-1]}) knows the method `{method}`: a newer "
        "or development build wrote the adapter, or a fork, or it is of another tool"
    )
    fix = ("envpin check ADAPTER says whose format it is", "run with the peft that trained it")
    return Explained("adapter-needs-newer-peft", says, fix)
