"""Refuse the payment service's own token, and blame no caller."""

from typing import Any

import grpc
import pytest
from payment_under_test import World
from service_under_test import SECRET
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.errors import Unavailable
from ticketcap_chassis.rpc.status import from_rpc_error
from ticketcap_local.tokens import make_token
from ticketcap_testing.identity_provider import IdentityProvider
from ticketcap_testing.stack import free_port

# The payment service verifies with a provider that is down; what it calls still takes the shared secret.
EXPIRED: dict[str, Any] = {
    "jwt_secret": "",
    "jwt_jwks_url": f"http://127.0.0.1:{free_port()}/jwks",
    "service_token": make_token(SECRET, role="SERVICE", school=None, hours=-1),
}
TOO_LITTLE = EXPIRED | {"service_token": make_token(SECRET, role="OWNER", school="herzl")}


@pytest.mark.parametrize(
    "here",
    [
        pytest.param(None, marks=pytest.mark.ground(payment=EXPIRED), id="expired"),
        pytest.param(None, marks=pytest.mark.ground(payment=TOO_LITTLE), id="without the role"),
    ],
    indirect=True,
)
async def test_a_service_token_that_is_refused_is_a_503(here: World, caplog: pytest.LogCaptureFixture) -> None:
    """Neither 401 nor 403: the parent's token is good, and a new one would not help. The operator's log says it."""
    hold = await here.hold()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await here.create(hold)
    error = from_rpc_error(refused.value)
    assert isinstance(error, Unavailable)
    assert (error.reason, error.retry_after) == ("SERVICE_TOKEN_REFUSED", 1.0)
    assert "registration.refused_this_service" in caplog.text
    assert here.rows("SELECT 1 FROM payments") == []


@pytest.mark.ground(payment=EXPIRED)
async def test_without_keys_an_organisers_token_is_not_refused_but_unavailable(here: World) -> None:
    """The provider has never answered: whether the token is good is not known."""
    token = IdentityProvider().token("SUPER_ADMIN", None)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await here.stub.ListEscalations(
            pb.ListEscalationsRequest(), metadata=(("authorization", f"Bearer {token}"),), timeout=10
        )
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
