"""Send spans, metrics and log lines to a collector; count the items that are lost."""
