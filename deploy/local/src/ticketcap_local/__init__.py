"""Run all of TicketCap as processes on one machine, without containers."""
