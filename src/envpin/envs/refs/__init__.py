"""From what a user names (family, lock, adapter, pins) to the pins of an environment."""
