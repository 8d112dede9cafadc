"""Name the version of TicketCap; every package and every signal reads it here."""

VERSION = "0.1.0"
