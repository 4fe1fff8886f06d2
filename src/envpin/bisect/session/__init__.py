"""A running search: its probes and outcomes, its log on disk."""
