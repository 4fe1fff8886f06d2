"""Searches between two whole environments: what changed, what must move together, mixed locks."""
