"""Manage schools, events, seats, registrations, the waitlist and check-in."""
