"""Format traces as trees for the terminal."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from rich.text import Text

_ATTRIBUTES: Final = (
    "http.response.status_code",
    "rpc.response.status_code",
    "school.slug",
    "registration.status",
    "registration.spots",
    "event.capacity",
    "event.spotsReserved",
    "event.spotsAvailable",
    "batch.size",
    "batch.wait_ms",
    "db.operation.name",
    "db.collection.name",
    "error.type",
)
"""Attributes to print, in this order. The label is the last word of the name unless _LABELS has another."""
_LABELS: Final = {
    "http.response.status_code": "http",
    "rpc.response.status_code": "grpc",
    "school.slug": "school",
    "batch.size": "batch.size",
    "batch.wait_ms": "batch.wait_ms",
    "db.operation.name": "sql",
    "db.collection.name": "table",
    "error.type": "error",
}
_MAX_LINKS: Final = 2
_DEEPEST: Final = 1_000
_WIDEST: Final = 60
"""Maximum width of the guides before a name; deeper spans are not indented further."""
LEGEND: Final = "⇢ links to the trace with this id: its cause, or the batch that served it"

Json = dict[str, Any]


def lines_of(trace: Json, depth: int = _DEEPEST) -> list[Text]:
    """Return a trace of the sink as lines: duration, service, span in the tree, attributes.

    Spans more than ``depth`` levels below the top are counted instead of drawn.
    """
    spans: list[Json] = trace["spans"]
    walked = list(_walk(spans))
    rows = [(guide, span) for level, guide, span in walked if level < depth]
    service_width = max((len(span["service"]) for span in spans), default=0)
    lines = [_head(trace), *(_line(guide, span, service_width) for guide, span in rows)]
    if len(rows) < len(walked):
        lines.append(Text(f"  … {len(walked) - len(rows)} deeper spans; --depth shows more levels", style="dim"))
    if trace["left_out"]:
        lines.append(Text(f"  … {trace['left_out']} more spans exceeded the sink's limits", style="dim"))
    return lines


def _head(trace: Json) -> Text:
    spans = trace["spans"]
    head = Text.assemble(("trace ", "dim"), (trace["trace_id"], "bold"))
    if spans:
        began, ended = min(span["start"] for span in spans), max(span["end"] for span in spans)
        at = datetime.fromtimestamp(began / 1e9).astimezone()
        head.append(f"  {at:%H:%M:%S}  {(ended - began) / 1e6:.1f} ms  {len(spans)} spans", style="dim")
    return head


def _walk(spans: list[Json]) -> Iterator[tuple[int, str, Json]]:
    """Yield each span with its level (0 at the top) and the guide before its name, parents before children."""
    ids = {span["span_id"] for span in spans}
    children: defaultdict[str, list[Json]] = defaultdict(list)
    for span in spans:
        children[span["parent_id"] if span["parent_id"] in ids else ""].append(span)
    waiting = [(0, "", "", span) for span in reversed(children[""])]
    while waiting:
        level, indent, guide, span = waiting.pop()
        yield level, guide, span
        below = children.pop(span["span_id"], [])
        for number, child in enumerate(reversed(below)):
            corner, further = ("└─ ", "   ") if number == 0 else ("├─ ", "│  ")
            deeper = (indent + further)[:_WIDEST]
            waiting.append((level + 1, deeper, (indent + corner)[:_WIDEST], child))


def _line(guide: str, span: Json, service_width: int) -> Text:
    line = Text()
    line.append(f"{(span['end'] - span['start']) / 1e6:9.1f} ms  ", style="cyan")
    line.append(f"{span['service']:<{service_width}}  ", style="magenta")
    line.append(guide, style="dim")
    line.append(_short(span["name"]), style="bold red" if span["error"] else "bold")
    line.append("".join(f"  {label}" for label in _labels(span)), style="dim")
    line.append("".join(f"  ⇢ {link}" for link in _links(span)), style="yellow")
    return line


def _short(name: str) -> str:
    """Leave the package out of a gRPC method's name."""
    service, slash, method = name.partition("/")
    return f"{service.rpartition('.')[2]}/{method}" if slash and " " not in name else name


def _labels(span: Json) -> Iterator[str]:
    attributes = span["attributes"]
    for key in _ATTRIBUTES:
        if key in attributes:
            value = attributes[key]
            label = _LABELS.get(key, key.rpartition(".")[2])
            yield f"{label}={value:.1f}" if isinstance(value, float) else f"{label}={value}"


def _links(span: Json) -> list[str]:
    ids = [link["trace_id"] for link in span["links"]]
    return ids if len(ids) <= _MAX_LINKS else [ids[0], f"and {len(ids) - 1} more"]
