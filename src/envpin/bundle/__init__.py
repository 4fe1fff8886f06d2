"""One archive that restores an environment, and merges an adapter in it, without a network and without envpin."""
