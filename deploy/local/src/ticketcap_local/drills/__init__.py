"""Drills: each makes the fault of one alert really happen on the embedded stack, and undoes it."""
