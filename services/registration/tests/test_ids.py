"""Test that a look-up by a bare id asks one school."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import grpc
import grpc.aio
import psycopg
import pytest
from service_under_test import OWNER, SERVICE, SUPER_ADMIN, Metadata, Replica, claim, refusal, replica, token
from stepwise_migration import migrate_to
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.tagged_ids import tag_of
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_registration.domain.holder_token import HolderTokens, Purpose
from ticketcap_registration.store.migrate import migrate
from ticketcap_testing.stack import fresh_database

SECRET = b"another secret of the tests, also long enough"
UNKNOWN = "01999999-0000-7000-8000-00000000{}"
FOREIGN = token("OWNER", "other")


class Ids:
    """Changes ids in the database, past all its protections."""

    def __init__(self, owner: psycopg.Connection[Any]) -> None:
        self._owner = owner

    def school(self, slug: str) -> str:
        row = self._owner.execute("SELECT id FROM schools WHERE slug = %s", (slug,)).fetchone()
        assert row is not None
        return str(row[0])

    def add_school(self, school_id: str, slug: str) -> None:
        insert = "INSERT INTO schools (id, slug, name, created_at) VALUES (%s, %s, 'School', now())"
        self._owner.execute(insert, (school_id, slug))

    def untagged(self, registration: pb.RegisterResponse) -> pb.RegisterResponse:
        """Give a registration an id with a tag of no school, as an earlier release would."""
        new_id = f"{registration.id[:-4]}{int(registration.id[-4:], 16) ^ 1:04x}"
        self._owner.execute("UPDATE registrations SET id = %s WHERE id = %s", (new_id, registration.id))
        token_of_id = HolderTokens(Purpose.MANAGE, (SECRET,)).issue(UUID(new_id))
        return pb.RegisterResponse(id=new_id, manage_token=token_of_id)


@pytest.fixture
def ids(service: Replica) -> Iterator[Ids]:
    with psycopg.connect(service.database, autocommit=True) as owner:
        yield Ids(owner)


def lookups(service: Replica) -> list[str]:
    """Return the statements that searched a registration's school since the last call, in order."""
    names = [span.name for span in service.telemetry.spans]
    service.telemetry.clear()
    return [name for name in names if name in {"directory.registration", "directory.untagged"}]


async def get(service: Replica, registration_id: str, metadata: Metadata = (), **fields: Any) -> pb.Registration:
    request = pb.GetRegistrationRequest(id=registration_id, **fields)
    return (await service.stub.GetRegistration(request, metadata=metadata)).registration


async def refused(call: Any) -> tuple[grpc.StatusCode, str, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = refusal(caught.value)
    return caught.value.code(), error.reason, error.message, dict(error.metadata)


async def test_ids_of_events_and_registrations_carry_their_schools_tag(service: Replica, ids: Ids) -> None:
    """The last four digits, of a single claim and of a batch's."""
    event = await service.open()
    await service.school("other")
    await service.event("other", slug="theirs")
    batch = pb.RegisterBatchRequest(
        items=[
            pb.RegisterBatchRequest.Item(request=claim(2)),
            pb.RegisterBatchRequest.Item(request=claim(3, school="other", event="theirs")),
        ]
    )
    alone = await service.register(1)
    ours, theirs = (await service.stub.RegisterBatch(batch, metadata=SERVICE)).results
    tag, other = ids.school("herzl")[-4:], ids.school("other")[-4:]
    assert {event.id[-4:], alone.id[-4:], ours.response.id[-4:]} == {tag}
    assert theirs.response.id[-4:] == other != tag


async def test_a_tagged_id_asks_one_school(service: Replica) -> None:
    """By the holder, a service, an organiser and a SUPER_ADMIN: one statement in one school, and no fan-out."""
    await service.open(price_agorot=4990)
    await service.school("other")
    held = await service.register(1)
    lookups(service)
    await service.get(held)
    await get(service, held.id, OWNER)
    await get(service, held.id, SUPER_ADMIN)
    await service.stub.GetHold(pb.GetHoldRequest(registration_id=held.id), metadata=SERVICE)
    await service.stub.ConfirmHold(pb.ConfirmHoldRequest(registration_id=held.id), metadata=SERVICE)
    await service.cancel(held)
    assert lookups(service) == ["directory.registration"] * 6


async def test_schools_with_one_tag_are_asked_in_turn(service: Replica, ids: Ids) -> None:
    """Tags repeat from some hundred schools on; each school still finds its own."""
    ids.add_school("01890000-0000-7000-8000-00000000abcd", "herzl")
    ids.add_school("01890000-0000-7000-8000-00000001abcd", "other")
    await service.event()
    await service.event("other")
    mine = await service.register(1)
    theirs = await service.stub.Register(claim(2, school="other"))
    lookups(service)
    assert tag_of(UUID(mine.id)) == tag_of(UUID(theirs.id)) == "abcd"
    assert (await service.get(mine)).school == "herzl"
    assert (await service.get(theirs)).school == "other"
    assert sorted(lookups(service)) == ["directory.registration"] * 3


async def test_an_id_of_before_tags_still_works(service: Replica, ids: Ids) -> None:
    """For all who know it from TicketCap: its holder, its school, a service, a SUPER_ADMIN."""
    await service.open(price_agorot=4990)
    held = ids.untagged(await service.register(1))
    lookups(service)
    await get(service, held.id, OWNER)
    assert lookups(service) == ["directory.registration"]
    assert (await service.get(held)).school == "herzl"
    await get(service, held.id, SUPER_ADMIN)
    await service.stub.ConfirmHold(pb.ConfirmHoldRequest(registration_id=held.id), metadata=SERVICE)
    await service.cancel(held)
    assert lookups(service) == ["directory.untagged"] * 4


async def test_guesses_reach_no_other_school(service: Replica, ids: Ids) -> None:
    """An organiser asks the own school, a wrong token asks no school; unknown and foreign ids answer alike."""
    await service.open()
    await service.school("other")
    mine = await service.register(1)
    tagged = UNKNOWN.format(ids.school("herzl")[-4:])
    lookups(service)
    answers = []
    for guess in (mine.id, ids.untagged(await service.register(2)).id, UNKNOWN.format("0000"), tagged):
        code, reason, message, metadata = await refused(get(service, guess, FOREIGN))
        answers.append((code, reason, message.replace(guess, "…"), metadata.pop("registration_id") == guess, metadata))
        await refused(get(service, guess, manage_token="wrong"))
    assert answers == [answers[0]] * 4
    assert answers[0][:2] == (grpc.StatusCode.NOT_FOUND, "REGISTRATION_NOT_FOUND")
    assert lookups(service) == ["directory.registration"] * 4
    await refused(get(service, mine.id, token("OWNER", "of no school")))
    assert lookups(service) == []


async def test_a_new_school_is_found_while_its_tag_is_cached(service: Replica, ids: Ids) -> None:
    """Another replica may have looked the tag up before the school existed."""
    ids.add_school("01890000-0000-7000-8000-00000000abcd", "herzl")
    await service.event()
    async with replica(service.database) as other:
        await refused(get(other, UNKNOWN.format("1234"), SUPER_ADMIN))
        ids.add_school("01890000-0000-7000-8000-000000001234", "late")
        await service.event("late")
        late = await service.stub.Register(claim(1, school="late"))
        lookups(other)
        assert (await other.get(late)).school == "late"
        assert lookups(other) == ["directory.untagged"]


def test_an_interrupted_build_of_the_index_is_repeated(postgres: EmbeddedPostgres) -> None:
    """On a filled database: the migration drops the invalid index, and schools of before are found by their tag."""
    with fresh_database(postgres) as url:
        migrate_to(url, "0005")
        with psycopg.connect(url, autocommit=True) as owner:
            insert = "INSERT INTO schools (id, slug, name, created_at) VALUES (gen_random_uuid(), %s, 'School', now())"
            owner.cursor().executemany(insert, [(f"school-{number}",) for number in range(500)])
            owner.execute("CREATE INDEX schools_by_tag ON schools (right(id::text, 4))")
            valid = "UPDATE pg_index SET indisvalid = {} WHERE indexrelid = 'schools_by_tag'::regclass"
            owner.execute(valid.format("false").encode())
            migrate(url)
            assert owner.execute(
                "SELECT indisvalid FROM pg_index WHERE indexrelid = 'schools_by_tag'::regclass"
            ).fetchone() == (True,)
            owner.execute("SET enable_seqscan = off")
            plan = owner.execute("EXPLAIN SELECT id FROM schools WHERE right(id::text, 4) = 'abcd'").fetchall()
            assert "schools_by_tag" in str(plan)
