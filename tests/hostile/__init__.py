"""Hostile situations, as tables: what was tried, the command, what it must end with."""
