"""Measure by the schema, and show the metrics to Prometheus and a collector."""
