"""Detectors: each looks at an opened checkpoint and yields findings. A new file check belongs here."""
