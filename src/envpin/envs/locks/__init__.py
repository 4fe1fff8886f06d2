"""PEP 751 locks: asking uv for one, reading, completing and writing it, and for which platforms it holds."""
