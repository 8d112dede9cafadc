"""Translate events and seats between JSON and protobuf."""

from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.rpc.timestamps import moment, timestamp

from ticketcap_gateway.edge.messages import to_model
from ticketcap_gateway.events.schemas import Event, EventPatch, Price, Seats


def event(message: pb.Event) -> Event:
    """Return an event as JSON."""
    return to_model(
        Event,
        message,
        ends_at=moment(message.ends_at) if message.HasField("ends_at") else None,
        price=Price(agorot=message.price_agorot, currency=message.currency),
    )


def event_fields(change: EventPatch) -> pb.EventFields:
    """Return the fields that ``change`` names, and no others."""
    fields = change.model_dump()
    if "status" in fields:
        fields["status"] = f"EVENT_STATUS_{fields['status']}"
    if "waitlist_policy" in fields:
        fields["waitlist_policy"] = f"WAITLIST_POLICY_{fields['waitlist_policy']}"
    for name in ("starts_at", "ends_at"):
        if name in fields:
            fields[name] = timestamp(fields[name])
    return pb.EventFields(**fields)


def seats(message: pb.Seats, promoted: int) -> Seats:
    """Return seats as the event stream shows them; ``promoted`` counts registrations since its last update."""
    return to_model(Seats, message, promoted=promoted)
