"""Translate messages and decide nothing."""
