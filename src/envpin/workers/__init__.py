"""What runs inside a pinned environment: stdlib plus what that environment holds, Python 3.8 syntax.

Nothing here imports `envpin`, and the controller never imports anything from here: `envpin.host` starts `main.py` with
the environment's own interpreter. See PROTOCOL.md.
"""
