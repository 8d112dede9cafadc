"""Turn the service's events into spans, metrics, Sentry reports and breadcrumbs.

Only this room and ``main`` know OpenTelemetry, the schema of our names, and Sentry.
"""
