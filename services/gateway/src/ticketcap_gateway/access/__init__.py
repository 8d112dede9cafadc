"""Authenticate callers and read the names in a path."""
