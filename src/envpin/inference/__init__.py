"""Which environment trained an adapter, from what it left behind."""
