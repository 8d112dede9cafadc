"""Make the fault of one alert happen, and undo it."""
