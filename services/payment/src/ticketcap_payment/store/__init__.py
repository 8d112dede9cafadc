"""Hold every SQL statement of the payment service."""
