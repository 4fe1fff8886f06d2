"""Findings: the catalogue of causes, detectors on files, signatures on logs."""
