"""What is known of releases: read from wheels (`*.json`) or written down, with the source at its head."""
