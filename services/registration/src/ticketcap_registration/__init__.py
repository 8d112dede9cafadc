"""The registration service: owns schools, events, seats, registrations, the waitlist and check-in."""
