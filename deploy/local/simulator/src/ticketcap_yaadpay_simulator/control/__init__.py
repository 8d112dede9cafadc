"""Show and change the simulator's state for tests and people."""
