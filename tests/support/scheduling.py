"""How `pytest -n 2 --dist loadgroup` deals the tests out: what shares a fixture to one worker, what takes long first.

Seven thousand short tests one by one cost the controller half of what they take; so a file of a closed tier goes whole.
"""

from __future__ import annotations

from xdist.scheduler import LoadGroupScheduling

# From the tier whose groups take minutes to the one whose files take a second: the two workers end together.
TIERS = ("e2e", "workers", "integration", "hostile", "cli", "property", "unit")
_BY_FILE = ("tests/property/", "tests/unit/")


class Dealer(LoadGroupScheduling):  # type: ignore[misc]  # xdist has no types
    """Deals in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid, by_mark=super()._split_scope(nodeid))


def group_of(nodeid: str, *, by_mark: str) -> str:
    """`by_mark` is the name of the mark `xdist_group`, or the node itself."""
    return nodeid.split("::", 1)[0] if by_mark == nodeid and nodeid.startswith(_BY_FILE) else by_mark


def rank(nodeid: str) -> int:
    tier = nodeid.removeprefix("tests/").split("/", 1)[0]
    return TIERS.index(tier) if tier in TIERS else 0
