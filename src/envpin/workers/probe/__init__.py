"""Asking models: probes of a bisect, the ladder of `matrix verify`, answers after a merge."""
