"""What runs by itself: hold expiry, the audit, the feed of seat changes, housekeeping, the health check."""
