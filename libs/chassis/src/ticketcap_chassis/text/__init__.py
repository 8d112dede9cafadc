"""Fold and normalize pasted text."""
