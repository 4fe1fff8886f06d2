"""Sizes that do not match: which part of the model they are of, and what that means."""
