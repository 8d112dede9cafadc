"""Verify callers and prove which service calls."""
