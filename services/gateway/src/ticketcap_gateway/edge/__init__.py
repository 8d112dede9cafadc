"""Serve HTTP safely; this kit knows nothing of TicketCap."""
