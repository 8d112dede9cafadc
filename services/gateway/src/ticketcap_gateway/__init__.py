"""Serve HTTP for TicketCap, without a database.

The services decide; the gateway translates, limits and streams.
"""
