"""Hold the rules of money, without I/O."""
