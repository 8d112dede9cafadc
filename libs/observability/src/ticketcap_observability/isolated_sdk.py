"""Import OpenTelemetry's SDK while no OTEL_* variable is in sight.

The SDK reads some variables as it is imported, and a wrong one ends the process there
(``OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=many``). Nothing is lost: ``settings`` reads what counts, and warns of the rest.
Import this module before any other that needs the SDK.
"""

import os

_hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("OTEL_")}
try:
    import opentelemetry.sdk._logs
    import opentelemetry.sdk.metrics
    import opentelemetry.sdk.trace  # noqa: F401 - imported here for later users
finally:
    os.environ.update(_hidden)
