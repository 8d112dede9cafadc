"""Check that another school's payment looks like a missing one."""

from typing import Any

import grpc
import grpc.aio
import pytest
from payment_under_test import World
from service_under_test import Metadata, refusal, token
from ticketcap.payment.v1 import payment_pb2 as pb

UNKNOWN = "01999999-0000-7000-8000-000000000000"
STRANGERS: dict[str, Metadata] = {
    "no token": (),
    "an invalid token": (("authorization", "Bearer a.b.c"),),
    "another school's owner": token("OWNER", "other"),
    "another school's viewer": token("VIEWER", "other"),
}


async def answer(call: Any, payment: str) -> tuple[grpc.StatusCode, str, str, dict[str, str]]:
    """Return all that a refusal says, with the payment's id taken out."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = refusal(caught.value)
    metadata = {key: value.replace(payment, "…") for key, value in error.metadata.items()}
    return caught.value.code(), error.reason, error.message.replace(payment, "…"), metadata


async def test_an_unknown_and_a_foreign_payment_answer_alike(here: World) -> None:
    """Status, reason, text and metadata are the same for every stranger, so that none learns which payments exist."""
    foreign = (await here.create(await here.hold())).payment_id
    for stranger, metadata in STRANGERS.items():
        said = []
        for payment in (UNKNOWN, foreign):
            get = pb.GetPaymentRequest(id=payment)
            refund = pb.RefundPaymentRequest(payment_id=payment, idempotency_key="key")
            said.append(
                (
                    await answer(here.stub.GetPayment(get, metadata=metadata), payment),
                    await answer(here.stub.RefundPayment(refund, metadata=metadata), payment),
                )
            )
        assert said[0] == said[1], stranger
    wrong = [
        await answer(here.stub.GetPayment(pb.GetPaymentRequest(id=payment, manage_token="wrong")), payment)
        for payment in (UNKNOWN, foreign)
    ]
    assert wrong[0] == wrong[1]
