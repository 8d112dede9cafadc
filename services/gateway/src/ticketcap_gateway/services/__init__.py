"""Call the registration and payment services."""
