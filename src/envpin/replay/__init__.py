"""Merge an adapter in its own environment: plan, provision, preflight, merge, verify, publish."""
