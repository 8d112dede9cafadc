"""Measure by the schema, for Prometheus and for a collector."""
