"""Reports for people: HTML pages."""
