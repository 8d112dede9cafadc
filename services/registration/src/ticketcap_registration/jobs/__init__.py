"""What runs by itself: hold expiry, the audit, the gauges, housekeeping."""
