"""Error logs: reading them, and what tells their causes.

`reader.py` takes a log in blocks and asks. A folder imports only from itself and from folders above it in this list:

- `text`: the log itself. Blocks, frames, what it states of its environment, and the forms in which tracebacks are
  printed (`printed.py`); `explained.py` is what every rule answers;
- `signatures`: the wordings (`*.toml`) and their form (`signature.py`);
- `facts`: what is known of releases, read from wheels (`*.json`, by `scripts/collect_*.py`) or by hand: arguments,
  names, messages, model types;
- `shapes`: sizes that do not match;
- `context`: what the frames tell. Who asked (`askers.py`, `callers.py`), with which library (`partners.py`,
  `companions.py`), for which folder, file or row;
- `ending`: what is left at the end (`unexplained.py`). What a library raised, what a script stopped at, and last what
  is like it (`nearest.py`).

`seen.py` keeps what a code has shown; `worded.py` says what a wording tells, with the facts; `said_better.py` which of
two answers stays.
"""
