"""Compare a trace with a contract that lists its spans.

Each line is a span and the indentation says whose child it is::

    http POST /api/v1/schools/{school}/events 201 school.slug=herzl  the gateway serves
      rpc registration CreateEvent OK school.id school.slug=herzl    both sides of a call; what follows: the server's
        sql schools.find                                             a statement
        span registration.batch event.id -> registration.transaction one of our own, with a link
      ? call payment GetPayment UNAVAILABLE                          a call that no service served; ``?``: or none
      * yaadpay VERIFY 200                                           a call to YaadPay; ``*``: any number of them

``serve`` is a call whose caller is no TicketCap service. After the status stand TicketCap's own attributes, all of
them, with a value or just there; ``$name`` is a value that the test knows. ``->`` names what the span is linked to:
a span of the same trace, or ``$name`` for another trace. ``!`` names the ``error.type`` where it is not the status.
The conventions of each kind of span are not written here: ``conventions`` checks them on every span.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from textwrap import dedent, indent
from types import MappingProxyType
from typing import Any, Final

from ticketcap_observability import schema

from tests.traces.conventions import OURS, faults_of

Spans = Sequence[Mapping[str, Any]]
Values = Mapping[str, str]

_PACKAGES: Final = {
    "registration": "ticketcap.registration.v1.RegistrationService",
    "payment": "ticketcap.payment.v1.PaymentService",
}
_MAKERS: Final = {str(span): span.service for span in schema.SPANS}
_KINDS: Final = {"outbox.deliver": "CONSUMER", "registration.changed": "CONSUMER"}
_INDENT: Final = 2


@dataclass(kw_only=True)
class Expected:
    """A span that must be there; ``code`` is its status on the wire, ``None`` where it has none."""

    service: str
    kind: str
    name: str
    code: str | None = None
    quantity: str = ""
    error_type: str | None = None
    attributes: dict[str, str | None] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    children: list["Expected"] = field(default_factory=list)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.quantity, self.service, self.kind, self.name, self.code)))


def contract(text: str, parts: Mapping[str, str] = MappingProxyType({})) -> Expected:
    """Return the tree that ``text`` is; ``use x`` stands for ``parts["x"]``. Raises ValueError for what is none."""
    root: Expected | None = None
    path: list[Expected] = []
    for line in _written_out(dedent(text), parts):
        depth, odd = divmod(len(line) - len(line.lstrip()), _INDENT)
        if odd or depth > len(path) or (root is not None and not depth):
            raise ValueError(f"{line!r}: it is indented as no child of the line above")
        parent = path[depth - 1] if depth else None
        outer, inner = _spans_of(line.split(), parent.service if parent else "")
        if parent is None:
            root = outer
        else:
            parent.children.append(outer)
        path[depth:] = [inner]
    if root is None:
        raise ValueError("an empty contract")
    return root


def _written_out(text: str, parts: Mapping[str, str]) -> Iterator[str]:
    for line in filter(str.strip, text.splitlines()):
        margin, use, part = line.partition("use ")
        if use and not margin.strip():
            yield from _written_out(indent(dedent(parts[part.strip()]), margin), parts)
        else:
            yield line


def _spans_of(words: list[str], service: str) -> tuple[Expected, Expected]:
    """Return the outermost span of a line and the one that its children hang on."""
    quantity = words.pop(0) if words[0] in {"?", "*"} else ""
    words, links, error_type = _tail(words)
    verb, *rest = words
    match verb, rest:
        case "http", [method, route, status, *own]:
            name = method if route == "-" else f"{method} {route}"
            outermost = Expected(service="gateway", kind="SERVER", name=name, code=status)
        case "rpc", [server, method, status, *own]:
            name = f"{_PACKAGES[server]}/{method}"
            client = Expected(service=service, kind="CLIENT", name=name, code=status, quantity=quantity)
            served = Expected(service=server, kind="SERVER", name=name, code=status, error_type=error_type)
            served.attributes, served.links = _own(own), links
            client.children = [served]
            return client, served
        case "call", [server, method, status, *own]:
            outermost = Expected(service=service, kind="CLIENT", name=f"{_PACKAGES[server]}/{method}", code=status)
        case "serve", [server, method, status, *own]:
            outermost = Expected(service=server, kind="SERVER", name=f"{_PACKAGES[server]}/{method}", code=status)
        case "yaadpay", [action, status, *own]:
            code = None if status == "-" else status
            outermost = Expected(service=service, kind="CLIENT", name=f"POST yaadpay {action}", code=code)
        case "sql", [_, *_]:
            own = []
            outermost = Expected(service=service, kind="CLIENT", name=" ".join(rest))
        case "span", [name, *own]:
            outermost = Expected(service=_MAKERS[name], kind=_KINDS.get(name, "INTERNAL"), name=name)
        case _:
            raise ValueError(f"{' '.join(words)!r} is no span")
    outermost = replace(outermost, quantity=quantity, error_type=error_type, attributes=_own(own), links=links)
    return outermost, outermost


def _tail(words: list[str]) -> tuple[list[str], list[str], str | None]:
    error_type = None
    if "!" in words:
        where = words.index("!")
        error_type = words[where + 1]
        words = words[:where] + words[where + 2 :]
    if "->" in words:
        where = words.index("->")
        return words[:where], words[where + 1 :], error_type
    return words, [], error_type


def _own(words: Iterable[str]) -> dict[str, str | None]:
    pairs = (word.partition("=") for word in words)
    own = {key: value if sign else None for key, sign, value in pairs}
    if unknown := own.keys() - OURS.keys():
        raise ValueError(f"{unknown}: the schema has no such attributes")
    return own


class Trace:
    """The spans of one trace that arrived, as a tree."""

    def __init__(self, spans: Spans, values: Values | None = None) -> None:
        self.values = values or {}
        self.by_id = {span["span_id"]: span for span in spans}
        self.roots = [span for span in spans if span["parent_id"] not in self.by_id]
        self._children: dict[str, list[Mapping[str, Any]]] = {}
        for span in spans:
            self._children.setdefault(span["parent_id"], []).append(span)

    def children(self, span: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return self._children.get(span["span_id"], [])

    def differences(self, expected: Expected) -> list[str]:
        """Return the differences between the trace and its contract, empty without any."""
        if len(self.roots) != 1:
            return [f"{len(self.roots)} spans have no parent: {[root['name'] for root in self.roots]}"]
        return self._differences(expected, self.roots[0])

    def _differences(self, expected: Expected, span: Mapping[str, Any]) -> list[str]:
        found = [f"{expected}: {each}" for each in self._of_one(expected, span)]
        return found + self._of_children(expected, self.children(span))

    def _of_one(self, expected: Expected, span: Mapping[str, Any]) -> Iterator[str]:
        for part in ("service", "kind", "name"):
            if span[part] != getattr(expected, part):
                yield f"{part} is {span[part]}"
        yield from faults_of(span, expected.code, expected.error_type)
        yield from self._of_attributes(expected, span["attributes"])
        yield from self._of_links(expected, span)

    def _of_attributes(self, expected: Expected, attributes: Mapping[str, Any]) -> Iterator[str]:
        ours = {key: value for key, value in attributes.items() if key in OURS}
        if missing := expected.attributes.keys() - ours.keys():
            yield f"without {', '.join(sorted(missing))}"
        if unexpected := ours.keys() - expected.attributes.keys():
            yield f"with {', '.join(f'{key}={ours[key]}' for key in sorted(unexpected))}"
        for key in expected.attributes.keys() & ours.keys():
            expected_value = self._value(expected.attributes[key])
            if expected_value is not None and str(ours[key]) != expected_value:
                yield f"{key} is {ours[key]}, not {expected_value}"

    def _value(self, written: str | None) -> str | None:
        return self.values[written[1:]] if written and written.startswith("$") else written

    def _of_links(self, expected: Expected, span: Mapping[str, Any]) -> Iterator[str]:
        links = sorted(self._linked(link) for link in span["links"])
        expected_links = sorted(self._value(link) or "" for link in expected.links)
        if links != expected_links:
            yield f"linked to {links}, not {expected_links}"

    def _linked(self, link: Mapping[str, str]) -> str:
        near = self.by_id.get(link["span_id"])
        # Of a call the method says enough.
        return str(near["name"]).rpartition("Service/")[2] if near else str(link["trace_id"])

    def _of_children(self, expected: Expected, children: Spans) -> list[str]:
        """Match each expected child to the first span that fits. Report spans that fit by name only."""
        left, found = list(children), []
        for child in sorted(expected.children, key=lambda each: bool(each.quantity)):
            limit = 1_000 if child.quantity == "*" else 1
            fitting = [span for span in left if not self._differences(child, span)][:limit]
            left = [span for span in left if not any(span is taken for taken in fitting)]
            if not fitting and not child.quantity:
                alike = next((span for span in left if _is_alike(child, span)), None)
                if alike is None:
                    found.append(f"{expected} has no child {child}")
                else:
                    left = [span for span in left if span is not alike]
                    found += self._differences(child, alike)
        return found + [f"{expected} has a child that nobody expects: {_line(span)}" for span in left]

    def __str__(self) -> str:
        """Return the trace as it would be written, but for what repeats and for what one attribute is."""
        return "\n".join(line for root in self.roots for line in self._drawn(root, 0))

    def _drawn(self, span: Mapping[str, Any], depth: int) -> Iterator[str]:
        links = " ".join(self._linked(link) for link in span["links"])
        yield " " * (_INDENT * depth) + _line(span) + (f" -> {links}" if links else "")
        children = self.children(span)
        if span["kind"] == "CLIENT" and len(children) == 1 and children[0]["name"] == span["name"]:
            served = children[0]
            for child in self.children(served):
                yield from self._drawn(child, depth + 1)
            if _line(served).split(" ", 1)[1].split()[:3] != _line(span).split(" ", 1)[1].split()[:3]:
                yield " " * (_INDENT * depth) + f"# served: {_line(served)}"
            return
        for child in children:
            yield from self._drawn(child, depth + 1)


def _is_alike(expected: Expected, span: Mapping[str, Any]) -> bool:
    return (span["name"], span["service"]) == (expected.name, expected.service)


def _line(span: Mapping[str, Any]) -> str:
    attributes = span["attributes"]
    own = "".join(f" {key}={value}" for key, value in attributes.items() if key in OURS)
    status = attributes.get("rpc.response.status_code") or attributes.get("http.response.status_code") or ""
    error = f" ! {attributes['error.type']}" if "error.type" in attributes else ""
    return f"{span['service']} {span['kind']} {span['name']} {status}{own}{error}"
