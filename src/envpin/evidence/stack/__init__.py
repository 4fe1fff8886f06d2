"""What the releases of the tools around a model say about themselves: read in their wheels, never imported."""
