"""The embedded stack: PostgreSQL, an OTLP sink and the services as real processes, and the command that runs them."""
