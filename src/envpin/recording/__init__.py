"""Wrap a training command; `hook/` is what gets injected into its interpreters."""
