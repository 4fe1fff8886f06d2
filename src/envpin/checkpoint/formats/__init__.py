"""Readers of single file formats, none of which runs what it reads: safetensors, torch zips, pickles, tokenizers."""
