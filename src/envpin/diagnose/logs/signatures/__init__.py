"""How errors announce themselves: one TOML file for a kind of wordings, and the form that they have."""
