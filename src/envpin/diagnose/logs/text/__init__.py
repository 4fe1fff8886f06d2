"""The log itself: its blocks, lines and frames, and what it states of its environment. Nothing here knows a cause."""
