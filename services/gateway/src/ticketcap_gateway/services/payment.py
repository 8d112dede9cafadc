"""Call the payment service."""

from typing import Final

import grpc.aio
from ticketcap.payment.v1 import payment_pb2_grpc
from ticketcap_chassis.identity.service_identity import ServiceIdentity
from ticketcap_chassis.rpc.channel import open_channel
from ticketcap_observability import Telemetry

from ticketcap_gateway.services.client import ServiceClient

SERVICE: Final = "ticketcap.payment.v1.PaymentService"
# Without effect, with an idempotency key in every message, or a no-op when repeated.
RETRIED: Final = (
    "CreatePayment",
    "GetPayment",
    "GetPaymentResult",
    "SettleReturn",
    "RefundPayment",
    "ListEscalations",
)


def open_payment_channel(target: str, identity: ServiceIdentity, telemetry: Telemetry) -> grpc.aio.Channel:
    """Return the channel of a PaymentClient; the caller closes it."""
    return open_channel(target, service=SERVICE, retried=RETRIED, telemetry=telemetry, identity=identity)


class PaymentClient(ServiceClient):
    """Makes the calls of ``rpc``, the payment service's methods."""

    noun = "the payment service"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self.rpc = payment_pb2_grpc.PaymentServiceStub(channel)
