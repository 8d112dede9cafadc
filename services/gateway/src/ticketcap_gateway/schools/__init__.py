"""Serve schools and their figures."""
