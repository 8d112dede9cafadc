"""Translates messages and decides nothing."""
