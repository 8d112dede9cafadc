"""Keep the history of the schema."""
