"""Open a payment, at most so many an hour from one address."""

from starlette.requests import Request
from ticketcap.payment.v1 import payment_pb2 as pb

from ticketcap_gateway.access.callers import Access
from ticketcap_gateway.edge.messages import digest
from ticketcap_gateway.edge.rate_limits import RateLimiter
from ticketcap_gateway.services.payment import PaymentClient


class PaymentOpener:
    """Opens payments, whether a program or the payment page requests it: both draw on one limit per registration."""

    def __init__(self, payment: PaymentClient, access: Access, limiter: RateLimiter) -> None:
        self._call, self._rpc = payment.call_patiently, payment.rpc
        self._access = access
        self._limiter = limiter

    async def open(self, request: Request, message: pb.CreatePaymentRequest) -> pb.CreatePaymentResponse:
        """Return the new payment, or the one that the same request has opened before. Raises Busy at the limit."""
        address = self._access.address(request)
        with self._limiter.one_use(address, message.registration_id.lower(), request=digest(message)) as use:
            response = await self._call(self._rpc.CreatePayment, message)
            if response.replayed:
                use.cancel()
        return response
