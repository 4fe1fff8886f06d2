"""The whole story on a tiny real model. `scripts/` holds what a user would have: they know nothing of envpin."""
