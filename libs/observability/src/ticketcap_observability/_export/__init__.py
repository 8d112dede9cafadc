"""Export spans, metrics and log lines; count the lost ones."""
