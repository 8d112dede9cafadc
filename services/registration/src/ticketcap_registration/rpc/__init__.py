"""Translates messages and decides nothing. ``service`` is the servicer; each other module is one topic of it."""
