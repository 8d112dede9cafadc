"""The gateway: speaks HTTP for TicketCap. It has no database and decides nothing about seats."""
