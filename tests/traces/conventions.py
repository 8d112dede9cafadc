"""Check every span against OpenTelemetry's conventions and the schema."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ticketcap_observability import schema

OURS: Final = {str(attribute): attribute.type for attribute in schema.ATTRIBUTES}
_OWN: Final = {str(span): span.attributes for span in schema.SPANS}
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {"string": str, "int": int, "double": (int, float)}
_SERVER_FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
_RPC: Final = frozenset({"rpc.system.name", "rpc.method", "rpc.response.status_code"})
_HTTP: Final = frozenset({"http.request.method", "url.scheme", "http.response.status_code"})
_SQL: Final = frozenset({"db.system.name", "db.operation.name", "db.query.text"})
_YAADPAY: Final = frozenset({"http.request.method", "server.address", "server.port", "url.path"})
_TARGET: Final = frozenset({"server.address", "server.port"})


def faults_of(span: Mapping[str, Any], code: str | None, error_type: str | None) -> Iterator[str]:
    """Return the conventions that a span breaks. ``code`` is its expected status, ``error_type`` its expected error."""
    attributes = span["attributes"]
    sort = _sort(span)
    status = attributes.get("rpc.response.status_code") or attributes.get("http.response.status_code")
    if (None if status is None else str(status)) != code:
        yield f"its status on the wire is {status}"
    yield from _of_attributes(sort, span["name"], attributes)
    expected_type = error_type or (code if _is_error(sort, code) else None)
    if attributes.get("error.type") != expected_type:
        yield f"error.type is {attributes.get('error.type')}, not {expected_type}"
    if span["status"] != ("ERROR" if expected_type else "UNSET"):
        yield f"its status is {span['status']}"
    yield from _of_events(sort, span["events"], expected_type, code)
    if span["end"] < span["start"]:
        yield "it ends before it begins"


def _sort(span: Mapping[str, Any]) -> str:
    if "rpc.system.name" in span["attributes"]:
        return f"rpc {span['kind']}"
    if "db.system.name" in span["attributes"]:
        return "sql"
    if "http.request.method" in span["attributes"]:
        return f"http {span['kind']}"
    return "own"


def _is_error(sort: str, code: str | None) -> bool:
    match sort:
        case "rpc CLIENT":
            return code != "OK"
        case "rpc SERVER":
            return code in _SERVER_FAULTS
        case "http SERVER":
            return _number(code) >= 500
        case "http CLIENT":
            return _number(code) >= 400
        case _:
            return False


def _number(code: str | None) -> int:
    return int(code) if code and code.isdecimal() else 0


def _of_attributes(sort: str, span_name: str, attributes: Mapping[str, Any]) -> Iterator[str]:
    must, may = {
        "rpc CLIENT": (_RPC | _TARGET, frozenset[str]()),
        "rpc SERVER": (_RPC, frozenset[str]()),
        "http SERVER": (_HTTP, frozenset({"http.route", "url.path"})),
        "http CLIENT": (_YAADPAY, frozenset({"http.response.status_code"})),
        "sql": (_SQL, frozenset({"db.query.summary", "db.collection.name"})),
        "own": (frozenset[str](), frozenset[str]()),
    }.get(sort, (frozenset[str](), frozenset[str]()))
    conventional = attributes.keys() - OURS.keys() - {"error.type"}
    if missing := must - conventional:
        yield f"without {', '.join(sorted(missing))}"
    if unknown := conventional - must - may:
        yield f"with {', '.join(sorted(unknown))}, which the schema does not have"
    if sort == "own" and (foreign := attributes.keys() - {str(key) for key in _OWN.get(span_name, ())}):
        yield f"with {', '.join(sorted(foreign))}, which the schema does not give it"
    for key in attributes.keys() & OURS.keys():
        if not isinstance(attributes[key], _TYPES[OURS[key]]) or attributes[key] == "":
            yield f"{key} is {attributes[key]!r}, which is no {OURS[key]}"


def _of_events(sort: str, events: list[Mapping[str, Any]], error: str | None, code: str | None) -> Iterator[str]:
    """An unexpected exception is recorded by type and frames. An expected one is not recorded."""
    unexpected = error is not None and error != code and sort in {"rpc SERVER", "http SERVER"}
    if [event["name"] for event in events] != (["exception"] if unexpected else []):
        yield f"with events {[event['name'] for event in events]}"
    for event in events:
        if event["attributes"].keys() != {"exception.type", "exception.stacktrace"}:
            yield f"with an event that has {sorted(event['attributes'])}"
