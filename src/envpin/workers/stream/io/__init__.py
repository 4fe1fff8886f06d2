"""Bytes of the streaming engine: reading tensors, writing shards, the journal of a merge."""
