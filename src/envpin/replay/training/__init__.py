"""Repeat a recorded training run, and say where it parted from the record."""
