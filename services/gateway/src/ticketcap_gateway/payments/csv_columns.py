"""State the columns of a day's charges and refunds."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from ticketcap.payment.v1 import payment_pb2 as pb

from ticketcap_gateway.edge.csv_file import israel_time
from ticketcap_gateway.payments import amounts

_ISRAEL: Final = ZoneInfo("Asia/Jerusalem")

COLUMNS: Final[Mapping[str, Callable[[pb.BookEntry], str]]] = {
    "kind": lambda row: row.kind,
    "id": lambda row: row.id,
    "payment_id": lambda row: row.payment_id,
    "registration_id": lambda row: row.registration_id,
    "event_id": lambda row: row.event_id,
    "order": lambda row: row.order,
    "yaadpay_id": lambda row: row.yaadpay_id,
    "state": lambda row: row.state,
    "amount_agorot": lambda row: str(row.amount_agorot),
    "amount": lambda row: amounts.decimal(row.amount_agorot),
    "currency": lambda row: row.currency,
    "at": lambda row: israel_time(row.at),
}


def today() -> str:
    """Return the day in Israel, like 2026-12-31."""
    return datetime.now(_ISRAEL).date().isoformat()
