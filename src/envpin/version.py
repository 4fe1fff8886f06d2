"""The version, in its one place: the build reads it here. Imports nothing."""

__version__ = "0.1.0"
