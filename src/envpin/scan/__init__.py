"""Every model, adapter and checkpoint below a folder: what each is, what made it, and whether it can be merged."""
