"""Run the periodic work: expiry, audit, probe, gauges, housekeeping."""
