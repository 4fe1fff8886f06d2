"""Names of files and folders by which rooms of several floors know them."""

from __future__ import annotations

# The record of a merge, next to the merged model.
MERGE_RECORD = "envpin-merge.json"
# The receipt of an environment. Its presence is the mark that the environment is complete.
RECEIPT = "envpin-receipt.json"
# 1 listed importable files only, and a digest of the lock that two locks could share.
RECEIPT_SCHEMA = 2
# Next to the environments: the byte code that workers of each run and leave, by its key.
BYTECODE = ".bytecode"
# The lock that an environment was built from, in its folder.
LOCK_NAME = "pylock.toml"
