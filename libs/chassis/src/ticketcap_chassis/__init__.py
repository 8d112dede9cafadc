"""Give every TicketCap service its settings, gRPC, database, identity and life."""
