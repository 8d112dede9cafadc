"""Connect to PostgreSQL within limits, and name its failures."""
