"""Convert times to and from protos."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(at: datetime | None) -> Timestamp | None:
    """Return a timestamp message; None for None."""
    if at is None:
        return None
    message = Timestamp()
    message.FromDatetime(at)
    return message


def moment(message: Timestamp) -> datetime:
    """Return the time of a timestamp message, in UTC."""
    return message.ToDatetime(UTC)
