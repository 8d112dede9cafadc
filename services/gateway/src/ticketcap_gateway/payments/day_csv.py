"""Export a day of a school's charges and refunds for bookkeeping."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import MISSING
from starlette.requests import Request
from starlette.responses import Response
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.identity.roles import ADMINS

from ticketcap_gateway.access.callers import ORGANISER, Access
from ticketcap_gateway.access.paths import school_of
from ticketcap_gateway.edge.csv_file import csv_download, csv_response, israel_time
from ticketcap_gateway.edge.operation import Operation
from ticketcap_gateway.edge.query import read_query
from ticketcap_gateway.payments import amounts
from ticketcap_gateway.payments.schemas import DayQuery
from ticketcap_gateway.services.payment import PaymentClient

COLUMNS: Final = (
    "kind",
    "id",
    "payment_id",
    "registration_id",
    "event_id",
    "order",
    "yaadpay_id",
    "state",
    "amount_agorot",
    "amount",
    "currency",
    "at",
)
_ISRAEL: Final = ZoneInfo("Asia/Jerusalem")


class DayCsv:
    """Serves a school's day as a file. ``seconds`` bounds the whole download."""

    def __init__(self, payment: PaymentClient, access: Access, *, seconds: float) -> None:
        self._payment = payment
        self._access = access
        self._seconds = seconds

    def operations(self) -> Sequence[Operation]:
        """Return the call."""
        return (
            Operation(
                method="GET",
                path="/api/v1/schools/{school}/payments.csv",
                name="exportPayments",
                summary="A day's charges and refunds for bookkeeping. OWNER or ADMIN.",
                topic="Payments",
                handler=self.export,
                caller=ORGANISER,
                query=DayQuery,
                seconds=self._seconds,
                responses=[csv_response(COLUMNS, "Refunds are negative; day is a day in Israel.")],
            ),
        )

    async def export(self, request: Request) -> Response:
        """Stream the file."""
        school = school_of(request)
        token = await self._access.organiser(request, ADMINS, school)
        query = read_query(request, DayQuery)
        day = datetime.now(_ISRAEL).date().isoformat() if query.day is MISSING else query.day
        message = pb.ExportPaymentsRequest(school=school, day=day)
        portions = self._payment.stream(self._payment.rpc.ExportPayments, message, token)
        return await csv_download(f"{school}-payments-{day}", COLUMNS, portions, _rows)


def _rows(message: pb.ExportPaymentsResponse) -> Iterable[Sequence[str]]:
    return (_row(entry) for entry in message.entries)


def _row(entry: pb.BookEntry) -> Sequence[str]:
    return (
        entry.kind,
        entry.id,
        entry.payment_id,
        entry.registration_id,
        entry.event_id,
        entry.order,
        entry.yaadpay_id,
        entry.state,
        str(entry.amount_agorot),
        amounts.decimal(entry.amount_agorot),
        entry.currency,
        israel_time(entry.at),
    )
