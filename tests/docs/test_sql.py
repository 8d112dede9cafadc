"""Check that the SQL lint finds each kind of offence."""

from types import ModuleType

import pytest
from sql import collect, model_problems, statement_problems, unseen
from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.schema import SchemaItem

TENANT = Column("school_id", Uuid, primary_key=True)


def table(name: str, *more: SchemaItem) -> MetaData:
    metadata = MetaData()
    Table("events", metadata, Column("school_id", Uuid, primary_key=True), Column("id", Uuid, primary_key=True))
    if name != "events":
        Table(name, metadata, *more)
    return metadata


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ((Column("id", Uuid, primary_key=True), Column("school_id", Uuid)), "PrimaryKeyConstraint"),
        (
            (Column("school_id", Uuid, primary_key=True), Column("code", Integer), UniqueConstraint("code")),
            "UniqueConstraint",
        ),
        (
            (
                Column("school_id", Uuid, primary_key=True),
                Column("event_id", Uuid),
                ForeignKeyConstraint(["event_id", "school_id"], ["events.id", "events.school_id"]),
            ),
            "ForeignKeyConstraint",
        ),
        (
            (Column("school_id", Uuid, primary_key=True), Column("age", Integer), Index("by_age", "age")),
            "index by_age",
        ),
        ((Column("school_id", Uuid, primary_key=True), Column("id", Integer, Identity())), "seats.id"),
        (
            (Column("school_id", Uuid, primary_key=True), Column("at", Integer, server_default=text("now()"))),
            "seats.at",
        ),
    ],
)
def test_a_model_that_can_not_be_spread_is_found(columns: tuple[SchemaItem, ...], found: str) -> None:
    """A key, rule or index without the school in front, and a value that each machine would make."""
    [problem] = model_problems(table("seats", *columns))
    assert found in problem


def test_a_model_that_begins_with_the_school_passes() -> None:
    """And a reference table has any key."""
    seats = (
        Column("school_id", Uuid, primary_key=True),
        Column("id", Integer, primary_key=True, server_default=text("7")),
        ForeignKeyConstraint(["school_id", "id"], ["events.school_id", "events.id"]),
        Index("by_id", "school_id", "id"),
    )
    assert list(model_problems(table("seats", *seats))) == []
    assert list(model_problems(table("schools", Column("id", Uuid, primary_key=True)))) == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SELECT id FROM events WHERE id = :id", "events needs school_id"),
        ("SELECT id FROM events WHERE school_id = :school_id OR id = :id", "events needs school_id"),
        (
            "SELECT e.id FROM events AS e JOIN registrations AS r ON r.event_id = e.id WHERE e.school_id = :school_id",
            "registrations needs school_id",
        ),
        ("UPDATE events SET held = 0 WHERE id = :id", "events needs school_id"),
        ("DELETE FROM events WHERE id = :id", "events needs school_id"),
        ("SELECT id FROM events WHERE id = :id FOR UPDATE", "to lock rows"),
        ("SELECT set_config('a.b', :value, true)", "set_config"),
        ("DELETE FROM events WHERE school_id = :school_id AND ctid = ANY(:rows)", "ctid"),
        ("UPDATE events SET held = 0 WHERE school_id = :school_id RETURNING now()", "RETURNING must not call now"),
        ("INSERT INTO events (id) VALUES (:id)", "must name school_id"),
        (
            (
                "WITH new AS (INSERT INTO registrations (school_id, id) SELECT :school_id, x FROM jsonb_to_recordset("
                "CAST(:rows AS jsonb)) AS r (x uuid)) UPDATE events SET held = 0 WHERE school_id = :school_id"
            ),
            "must read a row of the school",
        ),
    ],
)
def test_a_statement_that_can_not_be_spread_is_found(statement: str, found: str) -> None:
    """One offence of each kind."""
    problems = list(statement_problems(f"-- store.broken: Break a rule.\n{statement}"))
    assert any(found in problem for problem in problems), problems
    assert all(problem.startswith("store.broken: ") for problem in problems)


@pytest.mark.parametrize(
    "statement",
    [
        (
            "SELECT e.id FROM events AS e JOIN registrations AS r ON r.school_id = e.school_id AND r.event_id = e.id"
            " WHERE e.school_id = :school_id FOR UPDATE"
        ),
        "SELECT s.slug FROM events AS e JOIN schools AS s ON s.id = e.school_id WHERE e.school_id = :school_id",
        "INSERT INTO events (school_id, id) VALUES (:school_id, :id) RETURNING id",
        (
            "WITH new AS (INSERT INTO registrations (school_id, id) SELECT e.school_id, x FROM events AS e"
            " CROSS JOIN jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (x uuid) WHERE e.school_id = :school_id)"
            " UPDATE events SET held = 0 WHERE school_id = :school_id"
        ),
    ],
)
def test_a_statement_for_one_school_passes(statement: str) -> None:
    """With joins, reference tables and common table expressions."""
    assert list(statement_problems(f"-- store.sound: Keep the rules.\n{statement}")) == []


def test_a_look_up_over_all_schools_passes_and_locks_nothing() -> None:
    """Jobs read every school; a lock names its school even there."""
    name = "-- watchkeeping.all: Read all schools."
    assert list(statement_problems(f"{name}\nSELECT id FROM events")) == []
    assert list(statement_problems(f"{name}\nSELECT id FROM events FOR UPDATE")) != []


def test_statements_are_collected_from_constants() -> None:
    """Texts, strings and tables of them; one that is no constant is named."""
    module = ModuleType("store")
    module.__dict__.update(
        {
            "_ONE": text("-- store.one: Read.\nSELECT 1"),
            "TWO": "-- store.two: Read.\nSELECT 2",
            "_MORE": {"three": text("-- store.three: Read.\nSELECT 3")},
            "OTHER": "no statement",
        }
    )
    texts = collect(module)
    assert sorted(each.split(":")[0] for each in texts) == ["-- store.one", "-- store.three", "-- store.two"]
    source = 'def read():\n    return text("""-- store.hidden: Read.\nSELECT 4""")\n'
    [problem] = unseen(source, texts)
    assert problem.startswith("store.hidden: ")
