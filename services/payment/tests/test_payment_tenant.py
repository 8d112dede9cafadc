"""Name the school of a payment by its id and its slug."""

from typing import Any

from payment_under_test import World


def school_of(here: World, span_name: str) -> set[tuple[Any, Any]]:
    """Return the id and the slug on the spans with a name."""
    attributes = [span.attributes or {} for span in here.telemetry.spans if span.name == span_name]
    return {(found.get("school.id"), found.get("school.slug")) for found in attributes}


async def test_a_payment_stores_the_schools_id_and_its_spans_carry_both(here: World) -> None:
    """The id comes from the registration service's answer."""
    hold = await here.hold()
    school_id = (await here.registration.get(hold)).school_id
    assert len(school_id) == 36
    await here.paid(hold)
    assert [str(row["school_id"]) for row in here.rows("SELECT school_id FROM payments")] == [school_id]
    for name in ("payment.create", "payment.return", "outbox.deliver", "payment.capture"):
        assert school_of(here, name) == {(school_id, "herzl")}, name
