"""Error logs: reading them, and the signatures that tell their causes. A new wording belongs here."""
