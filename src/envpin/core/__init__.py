"""What every part shares: errors and exit codes, events, findings, journals, doors for processes and outside JSON."""
