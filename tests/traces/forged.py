"""List forged trace contexts as headers."""

from typing import Final

TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
GOOD: Final = f"00-{TRACE_ID}-b7ad6b7169203331-01"
FORGED: Final[dict[str, list[tuple[str, bytes]]]] = {
    "nonsense": [("traceparent", b"nonsense")],
    "empty": [("traceparent", b"")],
    "another version": [("traceparent", b"ff" + GOOD[2:].encode())],
    "no trace": [("traceparent", GOOD.replace(TRACE_ID, "0" * 32).encode())],
    "no span": [("traceparent", GOOD.replace("b7ad6b7169203331", "0" * 16).encode())],
    "too short": [("traceparent", GOOD[:-4].encode())],
    "too long": [("traceparent", GOOD.encode() + b"-" + b"x" * 4000)],
    "upper case": [("traceparent", GOOD.upper().encode())],
    "Hebrew": [
        ("traceparent", "נועה".encode()),
        ("tracestate", "נועה=נועה".encode()),
        ("baggage", "נועה=נועה".encode()),
    ],
    "no text": [("traceparent", b"\xff\xfe"), ("tracestate", b"\xff=\xfe"), ("baggage", b"\xff=\xfe")],
    "broken state": [("tracestate", b"=,=,a=b=c;;;,")],
    "200 members": [("baggage", ",".join(f"k{number}={number}" for number in range(200)).encode())],
    "a long member": [("baggage", b"a=" + b"x" * 6000)],
    "a school of its own": [("baggage", b"school.slug=balfour")],
}
"""Without a valid traceparent: a trace of our own begins."""
OVERSIZED: Final = [("traceparent", GOOD.encode()), ("tracestate", b"a=" + b"x" * 100_000)]
