"""The store of environments on disk: identity, building, receipts, damage."""
