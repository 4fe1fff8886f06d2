"""A running search: its question, its probes and outcomes, its log on disk."""
