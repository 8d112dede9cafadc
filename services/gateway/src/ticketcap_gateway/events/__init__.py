"""Serve events and the streams of their seats."""
