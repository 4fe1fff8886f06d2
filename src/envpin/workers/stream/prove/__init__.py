"""Proof of a streamed merge: comparing what is on disk, recomputing rows in float64."""
