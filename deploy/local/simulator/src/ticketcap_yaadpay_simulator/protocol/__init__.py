"""Speak the gateway's side of the protocol."""
