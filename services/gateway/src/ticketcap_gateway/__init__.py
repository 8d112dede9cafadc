"""Serve HTTP for TicketCap; the gateway has no database and decides nothing about seats."""
