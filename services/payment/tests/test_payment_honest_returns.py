"""Send returns of honest customers with other parameters beside the signed ones."""

from collections.abc import Callable

import grpc
import pytest
from payment_under_test import KEY, World, state_of
from signed_returns import SIGNED, Fields, fields_of, query, signed
from ticketcap.payment.v1 import payment_pb2 as pb

DECLINED = b"4"


def with_amount(spelled: str) -> Callable[[Fields], bytes]:
    return lambda fields: query(signed({**fields, "Amount": spelled.encode()}, KEY))


def followed_by(addition: bytes) -> Callable[[Fields], bytes]:
    return lambda fields: query(fields) + addition


def without(*names: str, **values: bytes) -> Callable[[Fields], bytes]:
    """Take fields out of a decline, which YaadPay signs as empty."""

    def decline(fields: Fields) -> bytes:
        left = {name: value for name, value in {**fields, "CCode": DECLINED, **values}.items() if name not in names}
        return query(signed(left, KEY))

    return decline


HONEST: dict[str, Callable[[Fields], bytes]] = {
    "a tracker twice": followed_by(b"&utm_source=a&utm_source=b"),
    "a tracker before and after": lambda fields: b"utm_source=a&" + query(fields) + b"&UTM_SOURCE=b",
    "an unsigned field of YaadPay's twice": followed_by(b"&Info=x&Info=y&UID=1&UID=2"),
    "a name that is not ASCII": followed_by("&מקור=דף".encode()),
    "the same currency twice": followed_by(b"&Coin=1"),
    "a currency that is not told": followed_by(b"&coin="),
    "a comma in the amount": with_amount("49,90"),
    "blanks around the amount": with_amount(" 49.90 "),
    "a blank in the amount": with_amount("49 .90"),
}


async def delivered(here: World, raw: bytes) -> pb.SettleReturnResponse:
    return await here.stub.SettleReturn(pb.SettleReturnRequest(query=raw), timeout=20)


async def brought_back(here: World, number: int = 1) -> tuple[str, Fields]:
    """Open a payment and pay on its page; return its id and what the browser would bring."""
    opened = await here.create(await here.hold(number))
    return opened.payment_id, fields_of((await here.simulator.customer(opened.redirect_url))["redirects"][0])


async def test_a_customer_who_paid_is_told_so(here: World) -> None:
    """With any parameters beside the signed ones, and any spelling of the amount."""
    for number, (name, spell) in enumerate(HONEST.items()):
        _, fields = await brought_back(here, number)
        assert state_of((await delivered(here, spell(fields))).result) == "CAPTURED", name
    for asked in await here.simulator.requests("VERIFY"):
        names = [name.casefold() for name in asked["parameter_names"]]
        assert len(names) == len(set(names)), "YaadPay is shown no name twice"
    await here.books_agree()


DECLINES: dict[str, Callable[[Fields], bytes]] = {
    "an empty number": without(Id=b""),
    "no number": without("Id"),
    "the number 0": without(Id=b"0"),
    "no approval and no name": without("ACode", "Fild1", "Fild2", "Fild3", Id=b"77777777"),
    "a comma in the amount": without("Id", Amount=b"49,90"),
}


async def test_a_customer_whose_card_was_refused_is_told_so(here: World) -> None:
    """A decline may lack its number: no person is asked, nothing is charged, and the page can still be paid on."""
    for number, (name, decline) in enumerate(DECLINES.items()):
        payment, fields = await brought_back(here, number)
        for _ in range(2):
            answer = await delivered(here, decline(fields))
            assert (state_of(answer.result), answer.result.failure) == ("FAILED", "declined"), name
        assert state_of((await delivered(here, query(fields))).result) == "CAPTURED", name
        assert state_of(await here.payment(payment)) == "CAPTURED"
    assert here.rows("SELECT 1 FROM escalations") == []
    await here.books_agree()


def twice(name: str) -> Callable[[Fields], bytes]:
    return lambda fields: query(fields) + b"&" + query({name: fields.get(name, b"")})


FORGED: dict[str, Callable[[Fields], bytes]] = {
    **{f"{name} twice": twice(name) for name in (*SIGNED, "Sign")},
    "another case of a signed name": followed_by(b"&ORDER=1"),
    "a second currency": followed_by(b"&Coin=2"),
    "a second terminal": followed_by(b"&Masof=0010131918&masof=0010070211"),
    "money without a number": lambda fields: query(signed({**fields, "Id": b""}, KEY)),
    "money without an approval": lambda fields: query(
        signed({name: value for name, value in fields.items() if name != "ACode"}, KEY)
    ),
    "an unsigned decline": lambda fields: query({**fields, "Id": b"", "CCode": DECLINED, "Sign": b""}),
    "a decline signed by another": lambda fields: query(signed({**fields, "Id": b"", "CCode": DECLINED}, "a" * 40)),
    "an outcome that is not known without a number": lambda fields: query(
        signed({**fields, "Id": b"", "CCode": b"999"}, KEY)
    ),
}


async def test_what_is_not_signed_so_is_refused(here: World) -> None:
    """Each is recognised, changes nothing, and escalates nothing; the genuine return still works."""
    payment, fields = await brought_back(here)
    for name, forge in FORGED.items():
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await delivered(here, forge(fields))
        assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION, name
    assert state_of(await here.payment(payment)) == "REDIRECTED"
    assert here.rows("SELECT 1 FROM returns UNION ALL SELECT 1 FROM escalations") == []
    assert state_of((await delivered(here, query(fields))).result) == "CAPTURED"


@pytest.mark.ground(payment={"yaadpay_check_sign": False})
async def test_a_decline_without_a_number_is_checked_here_all_the_same(here: World) -> None:
    """YaadPay vouches for none of them: where it alone decides otherwise, our own look at Sign does."""
    _, fields = await brought_back(here)
    with pytest.raises(grpc.aio.AioRpcError):
        await delivered(here, query(signed({**fields, "Id": b"", "CCode": DECLINED}, "a" * 40)))
    assert here.rows("SELECT 1 FROM returns UNION ALL SELECT 1 FROM escalations") == []
    answer = await delivered(here, without("Id")(fields))
    assert (state_of(answer.result), answer.result.failure) == ("FAILED", "declined")
