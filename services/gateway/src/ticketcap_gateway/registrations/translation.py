"""Translate registrations between JSON and protobuf."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import MISSING
from ticketcap.registration.v1 import registration_pb2 as pb

from ticketcap_gateway.edge.messages import to_model
from ticketcap_gateway.registrations.schemas import (
    Registration,
    RegistrationCreate,
    RegistrationCreated,
    RegistrationStatus,
)


@dataclass(frozen=True, slots=True)
class PayLinks:
    """Addresses of payment pages. ``public_url`` is scheme and host, as people reach them."""

    public_url: str

    def of(self, registration: str, pay_token: str) -> str:
        """Return the address of a registration's payment page; secret, as its token is."""
        return f"{self.public_url}/pay/{registration}?token={quote(pay_token, safe='')}"


def claim(body: RegistrationCreate, *, school: str, event: str, idempotency_key: str) -> pb.RegisterRequest:
    """Return a claim as the service takes it."""
    return pb.RegisterRequest(
        school=school,
        event=event,
        name=body.name,
        phone=body.phone,
        email=body.email,
        spots=body.spots,
        idempotency_key=idempotency_key,
    )


def registration_created(message: pb.RegisterResponse, links: PayLinks) -> RegistrationCreated:
    """Return the answer to a claim as JSON."""
    return to_model(RegistrationCreated, message, pay_url=_pay_url(message, links))


def registration(message: pb.Registration, links: PayLinks) -> Registration:
    """Return a registration as JSON."""
    return to_model(Registration, message, pay_url=_pay_url(message, links))


def registration_status(name: RegistrationStatus) -> str:
    """Return the proto's name of the status that a caller named."""
    return f"REGISTRATION_STATUS_{name}"


def _pay_url(message: pb.Registration | pb.RegisterResponse, links: PayLinks) -> Any:
    to_pay = message.status == pb.REGISTRATION_STATUS_PENDING_PAYMENT and message.pay_token
    return links.of(message.id, message.pay_token) if to_pay else MISSING
