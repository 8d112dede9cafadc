"""The rules, pure: no I/O, no clock of their own. Each module is one topic of the design's domain chapter."""
