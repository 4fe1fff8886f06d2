"""The catalogue of findings: one entry per code, with its cause and its fix."""
