"""Check docs/glossary.md against the protos, tables, schema and sources."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FileDescriptor
from ticketcap.payment.v1 import payment_pb2
from ticketcap.registration.v1 import registration_pb2
from ticketcap_observability import schema
from ticketcap_payment.store import models as payment_models
from ticketcap_registration.store import models as registration_models

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("concept", "meaning", "code", "proto", "table", "telemetry", "HTTP")
NAME = re.compile(r"`([^`]+)`")
CONVENTIONAL = ("rpc.", "http.", "db.client.")
"""Prefixes of metrics that OpenTelemetry's conventions define; docs/telemetry.md lists them."""


def rows(text: str) -> Iterator[dict[str, str]]:
    """Yield each line of the glossary's tables by column."""
    for line in text.splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if line.startswith("|") and cells != COLUMNS and set(line) != {"|", "-"}:
            yield dict(zip(COLUMNS, cells, strict=True))


ROWS = list(rows((ROOT / "docs/glossary.md").read_text()))


def named(column: str) -> set[str]:
    """Return the names that stand in a column."""
    return {name for row in ROWS for name in NAME.findall(row[column])}


@cache
def code_names() -> frozenset[str]:
    """Return each identifier of the sources, and each attribute of a class as ``Class.attribute``."""
    names: set[str] = set()
    for path in (*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("libs/*/src/**/*.py")):
        if "stubs" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.ClassDef(name=name):
                    names.add(name)
                    names.update(f"{name}.{member}" for statement in node.body for member in members(statement))
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
                    names.add(name)
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    names.add(name)
    return frozenset(names)


def members(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of a class body defines."""
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@cache
def json_fields() -> frozenset[str]:
    """Return the fields of every class in the gateway's schemas modules."""
    paths = list(ROOT.glob("services/gateway/src/**/schemas.py"))
    assert paths
    return frozenset(
        member
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        for member in members(statement)
    )


FILES: tuple[FileDescriptor, ...] = (registration_pb2.DESCRIPTOR, payment_pb2.DESCRIPTOR)
METHODS = {
    method.name: method for file in FILES for service in file.services_by_name.values() for method in service.methods
}
MESSAGES: dict[str, Descriptor] = {
    name: message for file in FILES for name, message in file.message_types_by_name.items()
}
ENUMS = {name: enum for file in FILES for name, enum in file.enum_types_by_name.items()}
PROTO_NAMES = {
    *METHODS,
    *MESSAGES,
    *ENUMS,
    *(f"{name}.{field.name}" for name, message in MESSAGES.items() for field in message.fields),
    *(value.name for enum in ENUMS.values() for value in enum.values),
}
TABLES = {**registration_models.Base.metadata.tables, **payment_models.Base.metadata.tables}
COLUMN_NAMES = {
    f"{name}.{column.name}"
    for models in (registration_models, payment_models)
    for name, table in models.Base.metadata.tables.items()
    for column in table.columns
}
METRICS = {metric.name for metric in schema.METRICS}
TELEMETRY_NAMES = {*map(str, schema.SPANS), *map(str, schema.ATTRIBUTES), *METRICS}


def unknown(column: str, names: set[str] | frozenset[str]) -> list[str]:
    """Return the names in a column that do not exist."""
    return sorted(named(column) - names)


def test_each_concept_has_one_line_and_a_meaning() -> None:
    """No concept stands twice, and none is only a name."""
    concepts = [row["concept"] for row in ROWS]
    assert len(concepts) > 50
    assert sorted(concepts) == sorted(set(concepts))
    assert [row["concept"] for row in ROWS if not row["meaning"]] == []


def test_code_names_exist() -> None:
    """A class, a function, a field or a parameter; ``Class.attribute`` in that very class."""
    assert unknown("code", code_names()) == []


def test_proto_names_exist() -> None:
    """An RPC, a message, a field, an enum or one of its values."""
    assert unknown("proto", PROTO_NAMES) == []


def test_table_names_exist() -> None:
    """A table of either service, or ``table.column``."""
    assert unknown("table", {*TABLES, *COLUMN_NAMES}) == []


def test_telemetry_names_exist() -> None:
    """A span, an attribute or a metric of the schema."""
    assert unknown("telemetry", TELEMETRY_NAMES) == []


def test_http_names_exist() -> None:
    """A field of the gateway's JSON."""
    assert unknown("HTTP", json_fields()) == []


def test_every_table_has_a_line() -> None:
    """By its own name or one of its columns."""
    assert set(TABLES) - {name.partition(".")[0] for name in named("table")} == set()


def test_every_rpc_message_and_enum_has_a_line() -> None:
    """Requests and responses are covered by their RPC."""
    carried = {message.name for method in METHODS.values() for message in (method.input_type, method.output_type)}
    concepts = {*METHODS, *(set(MESSAGES) - carried), *ENUMS}
    assert concepts - {name.partition(".")[0] for name in named("proto")} == set()


def test_every_span_attribute_and_metric_of_our_own_has_a_line() -> None:
    """OpenTelemetry's own metrics are left to docs/telemetry.md."""
    own = {name for name in TELEMETRY_NAMES if not name.startswith(CONVENTIONAL)}
    assert own - named("telemetry") == set()


@pytest.mark.parametrize(("column", "names"), [("proto", PROTO_NAMES), ("telemetry", TELEMETRY_NAMES)])
def test_an_invented_name_is_found(column: str, names: set[str]) -> None:
    """The checks above are able to fail."""
    assert "Registration.place" not in names
    assert unknown(column, names - {min(named(column) & names)}) != []
