"""Share slots and time fairly among keys."""
