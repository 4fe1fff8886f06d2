"""Error logs: reading them, and what tells their causes.

`reader.py` takes a log in blocks and asks, in this order:

- the wordings: `signatures/*.toml`, read by `signature.py` and worded by `worded.py`; `said_better.py` says which
  of two stays;
- facts that were read from wheels: `arguments.py`, `names.py`, `symbols.py`, `module_files.py`, `successors.py`,
  `model_types.py`, `peft_methods.py`, `listed.py`, `overrides.py`, and their JSON files;
- the frames, which `frames.py` reads: who asked (`askers.py`, `callers.py`, `partners.py`, `companions.py`), for which
  folder or row (`whose_folder.py`, `folders.py`, `rows.py`, `given.py`), through `contexts.py`;
- shapes that do not fit: `mismatch.py`, `mismatch_words.py`;
- of what is left at the end (`unexplained.py`): what a library raised (`raised.py`, `messages.py`, `roles.py`), what a
  script stopped at (`own_code.py`, `own_checks.py`, `own_values.py`, `scripts.py`, `preparing.py`, `lost_files.py`),
  and last what is like it (`nearest.py`).

All of them answer with `explained.Explained`.
"""
