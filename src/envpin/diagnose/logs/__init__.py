"""Error logs: reading them, and the signatures that tell their causes (`signatures/*.toml`)."""
