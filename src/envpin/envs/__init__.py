"""Pinned environments: references, locks, identity, the store, uv."""
