"""Hold the schema's history, run by ``python -m ticketcap_registration migrate``."""
