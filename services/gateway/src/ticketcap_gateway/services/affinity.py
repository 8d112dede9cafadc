"""Name the event that a call to the registration service concerns."""

from typing import Any

from ticketcap.registration.v1 import registration_pb2 as pb


def event_key(request: Any) -> str:
    """Return the key of a request's event, as its path names it; "" for a request that names no event.

    An event's id and its slug are two keys: only the service knows that they are one event.
    """
    if isinstance(request, pb.RegisterBatchRequest):
        # A batch holds claims of one event.
        return event_key(request.items[0].request) if request.items else ""
    school, event = getattr(request, "school", ""), getattr(request, "event", "")
    return f"{school}/{event}".lower() if school and event else ""
