"""Name every span, attribute, metric and log event once.

Code takes the names from here, and `make docs` generates docs/telemetry.md from them.
"""

from ticketcap_observability.schema import log_events, metrics, spans
from ticketcap_observability.schema.kinds import Attribute, LogEvent, Metric, SpanName
from ticketcap_observability.schema.metrics import *  # noqa: F403 - the names themselves are exported
from ticketcap_observability.schema.spans import *  # noqa: F403 - as above

ATTRIBUTES = tuple(value for value in vars(spans).values() if isinstance(value, Attribute))
SPANS = tuple(value for value in vars(spans).values() if isinstance(value, SpanName))
METRICS = tuple(value for value in vars(metrics).values() if isinstance(value, Metric))
LOG_EVENTS: tuple[LogEvent, ...] = log_events.EVENTS
