"""A finished search: as data, in words, as evidence for the matrix."""
