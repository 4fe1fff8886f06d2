"""The record of one training run (`envpin.json`): types, reading, writing, comparing."""
