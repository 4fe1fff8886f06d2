"""Pinned environments: references, locks, the store, uv; `machine` is what they know of this machine."""
