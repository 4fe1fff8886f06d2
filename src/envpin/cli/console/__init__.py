"""The terminal: writing, progress, tables, widths, findings."""
