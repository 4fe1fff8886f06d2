"""One module per command: its arguments, and one call to the part that does it."""
