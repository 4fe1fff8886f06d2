"""Trainers that are run for real, each in its own environment; what they leave is kept in tests/data/wild."""
