"""Import OpenTelemetry's SDK with every OTEL_* variable hidden.

The SDK reads some variables at import, and a wrong one ends the process there
(``OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=many``). ``settings`` reads them later and warns of the wrong ones.
Import this module before any other that needs the SDK.
"""

from ticketcap_observability.settings import only

with only({}):
    import opentelemetry.sdk._logs
    import opentelemetry.sdk.metrics
    import opentelemetry.sdk.trace  # noqa: F401 - imported here for later users
