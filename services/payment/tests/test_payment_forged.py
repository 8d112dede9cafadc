"""Send forged returns: each is refused, changes nothing and is counted."""

import contextlib
from collections.abc import Callable
from urllib.parse import urlsplit

import grpc
import pytest
from payment_under_test import KEY, World, state_of
from signed_returns import SIGNED, Fields, query, signed
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_payment.yaadpay.wire import parse


def changed(**values: str) -> Callable[[Fields], bytes]:
    return lambda fields: query({**fields, **{name: value.encode() for name, value in values.items()}})


def without(name: str) -> Callable[[Fields], bytes]:
    return lambda fields: query({key: value for key, value in fields.items() if key != name})


FORGERIES: dict[str, Callable[[Fields], bytes]] = {
    "wrong sign": changed(Sign="0" * 64),
    "sign of another case": lambda fields: query({**fields, "Sign": fields["Sign"].upper()}),
    "no sign": without("Sign"),
    "empty sign": changed(Sign=""),
    "sign by another key": lambda fields: query(signed(fields, "a" * 40)),
    "changed amount": changed(Amount="1.00"),
    "amount in agorot": changed(Amount="4990"),
    "no amount": without("Amount"),
    "an amount of words": changed(Amount="all"),
    "an order that is nobody's": changed(Order="TC000000000000000000"),
    "no order": without("Order"),
    "another terminal": changed(Masof="0010070211"),
    "another currency": changed(Coin="2"),
    "a currency that there is not": changed(Coin="9"),
    "a number that we would like": changed(Id="MOCK-1"),
    "another number": changed(Id="99999999"),
    "a number of letters": changed(Id="1_2788261"),
    "success instead of failure": changed(CCode="0"),
    "failure instead of success": changed(CCode="4"),
    "no code": without("CCode"),
    "a code of words": changed(CCode="ok"),
    "another approval": changed(ACode="9999999"),
    "doubled order": lambda fields: query(fields) + b"&Order=" + fields["Order"],
    "doubled code": lambda fields: query(fields) + b"&CCode=0",
    "doubled in another case": lambda fields: query(fields) + b"&ccode=0",
    "doubled by encoding": lambda fields: query(fields) + b"&%43%43ode=0",
    "nothing": lambda _: b"",
    "no parameters": lambda _: b"%%%&&&===",
    "endless": lambda fields: query(fields) + b"&x=1" * 500,
}


async def refused(here: World, raw: bytes) -> str:
    """Deliver and return why it was refused."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await here.stub.SettleReturn(pb.SettleReturnRequest(query=raw), timeout=10)
    assert error.value.code() in {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT}
    return error.value.details() or ""


async def test_every_forgery_is_refused_and_changes_nothing(here: World) -> None:
    """Each one is made from a genuine return that is not delivered yet; the genuine one still works afterwards."""
    hold = await here.hold()
    opened = await here.create(hold)
    genuine = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    fields = dict(parse(urlsplit(genuine).query.encode()))
    for forge in FORGERIES.values():
        await refused(here, forge(fields))
    payment = await here.payment(opened.payment_id)
    assert (state_of(payment), payment.yaadpay_id) == ("REDIRECTED", "")
    assert here.rows("SELECT 1 FROM transactions UNION ALL SELECT 1 FROM returns UNION ALL SELECT 1 FROM outbox") == []
    assert await here.status(hold) == "PENDING_PAYMENT"
    assert await here.simulator.requests("VERIFY") == [], "nobody asked YaadPay about them"
    counted = sum(point.value for point in here.telemetry.points("payment.return.refused"))
    assert counted == len(FORGERIES)
    assert state_of((await here.settle(genuine)).result) == "CAPTURED"
    await here.books_agree()


async def test_a_genuine_return_does_not_pay_for_another(here: World) -> None:
    """Its Order is signed: put on another payment's return it is refused, whichever parts are mixed."""
    one, other = [await here.create(await here.hold(number)) for number in (1, 2)]
    paid = dict(parse(urlsplit((await here.simulator.customer(one.redirect_url))["redirects"][0]).query.encode()))
    order = (await here.payment(other.payment_id)).order
    await refused(here, query({**paid, "Order": order.encode()}))
    assert state_of(await here.payment(other.payment_id)) == "REDIRECTED"


async def test_our_own_words_in_a_return_never_reach_yaadpay(here: World) -> None:
    """The names of the service's own request are dropped in any case before VERIFY."""
    hold = await here.hold()
    opened = await here.create(hold)
    genuine = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    hostile = "&action=pay&What=SIGN&KEY=mine&PassP=mine&Masof=0010131918"
    assert state_of((await here.settle(genuine + hostile)).result) == "CAPTURED"
    (asked,) = await here.simulator.requests("VERIFY")
    for name in ("action", "What", "KEY", "PassP", "Masof"):
        assert asked["parameter_names"].count(name) == 1
    await here.books_agree()


async def test_no_words_of_ours_reach_yaadpay_inside_a_name(here: World) -> None:
    """A name that decodes to a whole query stays one name: it adds nothing to what YaadPay is asked."""
    hold = await here.hold()
    opened = await here.create(hold)
    genuine = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    hostile = "&x%26What%3DSIGN%26KEY%3Dmine%26Masof%3D0010070211%26y=1"
    with contextlib.suppress(grpc.aio.AioRpcError):
        await here.settle(genuine + hostile)
    for asked in await here.simulator.requests("VERIFY"):
        for name in ("action", "What", "KEY", "PassP", "Masof"):
            assert asked["parameter_names"].count(name) == 1
    assert state_of((await here.settle(genuine)).result) == "CAPTURED"
    await here.books_agree()


@pytest.mark.parametrize(
    "addition", [b"&x%26Order%3D1%26y=1", b"&x=" + b"\xe9" * 6000], ids=["a name that hides another", "raw bytes"]
)
async def test_what_is_kept_of_a_return_can_be_read_again(here: World, addition: bytes) -> None:
    """Parameters beside the signed fields are refused, or do not disturb the next steps."""
    hold = await here.hold()
    opened = await here.create(hold)
    genuine = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    hostile = urlsplit(genuine).query.encode() + addition
    with contextlib.suppress(grpc.aio.AioRpcError):
        await here.stub.SettleReturn(pb.SettleReturnRequest(query=hostile), timeout=10)
    await here.settle(genuine)
    await here.books_agree()
    assert state_of(await here.payment(opened.payment_id)) == "CAPTURED"


async def test_unsigned_hints_change_nothing(here: World) -> None:
    """L4digit and the like prove nothing; the export comes from the service's own record."""
    hold = await here.hold()
    opened = await here.create(hold)
    genuine = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    tampered = genuine.replace("L4digit=", "L4digit=9").replace("Payments=", "Payments=9")
    assert state_of((await here.settle(tampered)).result) == "CAPTURED"
    await here.books_agree()


async def test_yaadpay_itself_denies_a_return(here: World) -> None:
    """Signed with the service's key and yet denied by VERIFY: refused, nothing changed, and escalated."""
    hold = await here.hold()
    opened = await here.create(hold)
    genuine = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    await here.simulator.fault("VERIFY", "ccode", ccode=902)
    await refused(here, urlsplit(genuine).query.encode())
    await refused(here, urlsplit(genuine).query.encode())
    assert state_of(await here.payment(opened.payment_id)) == "REDIRECTED"
    (waiting,) = here.rows("SELECT kind, why, subject_id FROM escalations")
    assert (waiting["kind"], waiting["why"]) == ("return", "fits_but_not_verified")
    await here.resolve("return", str(waiting["subject_id"]), again=True)
    await here.state_becomes(opened.payment_id, "CAPTURED")
    await here.books_agree()


@pytest.mark.ground(payment={"give_up_seconds": 0.5})
async def test_a_return_that_is_verified_after_all_waits_for_nobody(here: World) -> None:
    """Given up, and then brought once more when YaadPay answers again: no person is needed any longer."""
    hold = await here.hold()
    opened = await here.create(hold)
    genuine = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    await here.simulator.fault("VERIFY", "html", times=50)
    await here.settle(genuine, seconds=2)
    await here.until(lambda: _waits(here), what="escalated")
    await here.simulator.http.delete("/simulator/faults")
    assert state_of((await here.settle(genuine)).result) == "CAPTURED"
    assert not await _waits(here)
    await here.books_agree()


async def test_a_return_whose_money_moved_is_not_thrown_away(here: World) -> None:
    """A person who found the charge can't end it as a forgery by leaving out one word."""
    hold = await here.hold()
    opened = await here.create(hold)
    genuine = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    await here.simulator.fault("VERIFY", "ccode", ccode=902)
    await refused(here, urlsplit(genuine).query.encode())
    (waiting,) = here.rows("SELECT subject_id FROM escalations WHERE resolved_at IS NULL")
    with pytest.raises(grpc.aio.AioRpcError, match="again"):
        await here.resolve("return", str(waiting["subject_id"]), moved=True)
    assert await _waits(here)


async def _waits(here: World) -> bool:
    return bool(here.rows("SELECT 1 FROM escalations WHERE resolved_at IS NULL"))


async def test_what_is_kept_of_a_return_has_no_card_in_it(here: World) -> None:
    """Stored before it is acted upon; the signed fields stay as they came, card data and ids do not stay."""
    hold = await here.hold()
    opened = await here.create(hold)
    genuine = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    assert "L4digit=5452" in genuine
    await here.settle(genuine)
    (stored_return,) = here.rows("SELECT message FROM returns")
    names = {name for name, _ in parse(stored_return["message"].encode())}
    assert set(SIGNED) | {"Sign"} <= names
    assert names.isdisjoint({"L4digit", "Tmonth", "Tyear", "BinCard", "UserId", "Brand", "Issuer"})


@pytest.mark.ground(payment={"yaadpay_check_sign": False})
async def test_without_our_own_check_yaadpay_decides(here: World) -> None:
    """The setting leaves the whole decision to VERIFY, which denies the same forgery."""
    hold = await here.hold()
    opened = await here.create(hold)
    genuine = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    fields = dict(parse(urlsplit(genuine).query.encode()))
    await refused(here, changed(ACode="9999999")(fields))
    assert len(await here.simulator.requests("VERIFY")) == 1
    assert state_of(await here.payment(opened.payment_id)) == "REDIRECTED"
    assert signed(fields, KEY)["Sign"] == fields["Sign"], "the formula here is YaadPay's"
    assert state_of((await here.settle(genuine)).result) == "CAPTURED"


@pytest.mark.ground(payment={"yaadpay_verify_postponed": False})
async def test_where_verify_does_not_know_postponed_returns(here: World) -> None:
    """The setting lets their Sign vouch alone, for nothing is charged by them; a forgery is still refused."""
    await here.simulator.set(verify_on_800="fail_902")
    hold = await here.hold()
    opened = await here.create(hold)
    genuine = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    await refused(here, changed(Id="99999999")(dict(parse(urlsplit(genuine).query.encode()))))
    assert state_of((await here.settle(genuine)).result) == "CAPTURED"
    assert await here.simulator.requests("VERIFY") == []
    await here.books_agree()


async def test_a_charge_on_a_page_whose_seat_was_gone_goes_back(here: World) -> None:
    """Postponed and too late, then paid once more by a means that YaadPay charges at once: owed, never kept."""
    await here.registration.event(slug="short", price_agorot=4990, capacity=1)
    hold = await here.hold(1, event="short")
    opened = await here.create(hold)
    genuine = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    await here.registration.end_hold(hold)
    await here.hold(2, event="short")
    assert (await here.settle(genuine)).result.failure == "seat_gone"
    fields = dict(parse(urlsplit(genuine).query.encode()))
    charged = query(signed({**fields, "CCode": b"0", "Id": b"87654321"}, KEY))
    await here.stub.SettleReturn(pb.SettleReturnRequest(query=charged), timeout=10)
    assert here.rows("SELECT reason, charge_id FROM refunds") == [{"reason": "SEAT_GONE", "charge_id": "87654321"}]


async def test_a_verified_decline_is_no_sale(here: World) -> None:
    """VERIFY says that YaadPay sent it, not that anybody paid."""
    await here.simulator.set(failure_url="http://127.0.0.1:1/failed")
    hold = await here.hold()
    opened = await here.create(hold)
    declined = (await here.simulator.customer(opened.redirect_url, button="decline", decline_ccode=4))["redirects"][0]
    settled = await here.settle(declined)
    assert (state_of(settled.result), settled.result.failure) == ("FAILED", "declined")
    assert len(await here.simulator.requests("VERIFY")) == 1
    assert await here.status(hold) == "PENDING_PAYMENT"
