"""Check models and statements: keys and look-ups begin with the school."""

import ast
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pglast import ast as sql
from pglast import parse_sql
from pglast.visitors import Visitor
from sqlalchemy import ForeignKeyConstraint, Identity, MetaData, Table, TextClause

PACKAGES: Final = ("ticketcap_registration", "ticketcap_payment")
TENANT: Final = "school_id"
# Tables that are not spread over machines by the school.
EVERYWHERE: Final = {
    "schools": "reference table: every machine has a copy",
    "job_leases": "one row per job of the service",
    "cursors": "one row per feed of the service",
    "untagged_ids": "one row of the service",
}
# Exceptions, each with its reason (ADR 30).
ALLOWED: Final = {
    "outbox.id:": "payment writes rows of its outbox one by one, so one machine numbers them",
    "outbox: index outbox_one_open_per_subject ": "the release before names it in ON CONFLICT; a later one drops it",
    "escalations: index escalations_one_open_per_subject ": "as above",
}
# Statements of jobs and look-ups over all schools.
OVER_ALL_SCHOOLS: Final = re.compile(
    r"^(watchkeeping\.|backlog\.|changes\.unread$|outbox\.(due|lag|aged)$|escalations\.(open|find)$"
    r"|directory\.(untagged\w*|with_payments)$)"
)
VOLATILE: Final = frozenset(
    ["now", "statement_timestamp", "clock_timestamp", "pg_notify", "random", "gen_random_uuid", "uuidv7", "nextval"]
)
NAME: Final = re.compile(r"\A-- ([\w.]+): ")
PARAMETER: Final = re.compile(r"(?<![:\w]):[a-z_]+|%\(\w+\)s")
_Scope = sql.SelectStmt | sql.UpdateStmt | sql.DeleteStmt | sql.InsertStmt


def model_problems(metadata: MetaData) -> Iterator[str]:
    """Yield keys, rules and indexes without the school in front, and values that each machine would make."""
    for table in metadata.tables.values():
        if table.name not in EVERYWHERE:
            yield from _table_problems(table)


def _table_problems(table: Table) -> Iterator[str]:
    for constraint in table.constraints:
        columns = [column.name for column in getattr(constraint, "columns", ())]
        references = isinstance(constraint, ForeignKeyConstraint) and constraint.referred_table.name in EVERYWHERE
        if type(constraint).__name__ != "CheckConstraint" and not references and columns[:1] != [TENANT]:
            yield f"{table.name}: {type(constraint).__name__} {columns} must begin with {TENANT}"
    for index in table.indexes:
        if [getattr(each, "name", None) for each in index.expressions][:1] != [TENANT]:
            yield f"{table.name}: index {index.name} must begin with {TENANT}"
    for column in table.columns:
        default = str(getattr(column.server_default, "arg", ""))
        if isinstance(column.server_default, Identity) or any(f"{name}(" in default for name in VOLATILE):
            yield f"{table.name}.{column.name}: each machine would number or date rows by itself"


def statement_problems(text: str) -> Iterator[str]:
    """Yield what a statement does that a database spread over machines refuses."""
    match = NAME.match(text)
    name = match[1] if match else "statement without a name"
    visitor = _Statement(over_all_schools=OVER_ALL_SCHOOLS.match(name) is not None)
    visitor(parse_sql(PARAMETER.sub("$1", text)))
    for problem in dict.fromkeys(visitor.problems):
        yield f"{name}: {problem}"


class _Statement(Visitor):  # type: ignore[misc]  # untyped upstream
    def __init__(self, *, over_all_schools: bool) -> None:
        super().__init__()
        self.over_all_schools = over_all_schools
        self.problems: list[str] = []
        self.ctes: set[str] = set()

    def visit_WithClause(self, _ancestors: Any, node: Any) -> None:  # noqa: N802
        self.ctes |= {cte.ctename for cte in node.ctes}

    def visit_FuncCall(self, _ancestors: Any, node: Any) -> None:  # noqa: N802
        if node.funcname[-1].sval == "set_config":
            self.problems.append("set_config reaches one machine: use SET LOCAL")

    def visit_ColumnRef(self, _ancestors: Any, node: Any) -> None:  # noqa: N802
        if _names(node)[-1:] == ["ctid"]:
            self.problems.append("ctid names a row of one machine: use a key")

    def visit_SelectStmt(self, _ancestors: Any, node: Any) -> None:  # noqa: N802
        self._scope(node, [*(node.fromClause or ())], [node.whereClause], lock=bool(node.lockingClause))

    def visit_UpdateStmt(self, _ancestors: Any, node: Any) -> None:  # noqa: N802
        self._scope(node, [node.relation, *(node.fromClause or ())], [node.whereClause])

    def visit_DeleteStmt(self, _ancestors: Any, node: Any) -> None:  # noqa: N802
        self._scope(node, [node.relation, *(node.usingClause or ())], [node.whereClause])

    def visit_InsertStmt(self, _ancestors: Any, node: Any) -> None:  # noqa: N802
        self._returning(node)
        if node.relation.relname in EVERYWHERE:
            return
        if TENANT not in [column.name for column in node.cols or ()]:
            self.problems.append(f"INSERT INTO {node.relation.relname} must name {TENANT}")
        select = node.selectStmt
        if select.valuesLists is None and not _returns(node):
            sources = [source for source in _own(select.fromClause) if isinstance(source, sql.RangeVar)]
            if not any(source.relname not in {*EVERYWHERE, *self.ctes} for source in sources):
                self.problems.append(f"INSERT INTO {node.relation.relname} … SELECT must read a row of the school")

    def _returning(self, node: Any) -> None:
        for each in _own(_returns(node)):
            if isinstance(each, sql.FuncCall) and each.funcname[-1].sval in VOLATILE:
                self.problems.append(f"RETURNING must not call {each.funcname[-1].sval}")

    def _scope(self, node: Any, sources: list[Any], conditions: list[Any], *, lock: bool = False) -> None:
        if not isinstance(node, sql.SelectStmt):
            self._returning(node)
        found = [*_own(sources)]
        tables = {
            source.alias.aliasname if source.alias else source.relname: source.relname
            for source in found
            if isinstance(source, sql.RangeVar) and source.relname not in {*EVERYWHERE, *self.ctes}
        }
        quals = [*conditions, *(each.quals for each in found if isinstance(each, sql.JoinExpr))]
        equalities = [_sides(each, tables) for qual in quals for each in _conjuncts(qual)]
        bound: set[str] = set()
        for _ in range(len(tables) + 1):
            for left, right in filter(None, equalities):
                for one, other in ((left, right), (right, left)):
                    if one in tables and (other not in tables or other in bound):
                        bound.add(one)
        if not self.over_all_schools or lock:
            for alias in tables.keys() - bound:
                self.problems.append(f"{tables[alias]} needs {TENANT} = …" + (" to lock rows" if lock else ""))


def _returns(node: Any) -> Any:
    # PostgreSQL 18 has a clause of its own for RETURNING.
    clause = getattr(node, "returningClause", None)
    return clause.exprs if clause is not None else getattr(node, "returningList", None)


def _names(column: Any) -> list[str]:
    return [getattr(field, "sval", "*") for field in column.fields]


def _own(node: Any) -> Iterator[Any]:
    """Yield the nodes below ``node`` but those of nested statements."""
    if isinstance(node, list | tuple):
        for each in node:
            yield from _own(each)
    elif isinstance(node, sql.Node) and not isinstance(node, _Scope):
        yield node
        for slot in node:
            yield from _own(getattr(node, slot))


def _conjuncts(node: Any) -> Iterator[Any]:
    """Yield the conditions that must all hold."""
    if isinstance(node, sql.BoolExpr) and node.boolop.name == "AND_EXPR":
        for each in node.args:
            yield from _conjuncts(each)
    elif node is not None:
        yield node


def _sides(node: Any, tables: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the tables whose schools an equality compares; another value is the empty string."""
    if not isinstance(node, sql.A_Expr) or node.kind.name != "AEXPR_OP" or node.name[-1].sval != "=":
        return None
    sides = []
    for side in (node.lexpr, node.rexpr):
        names = _names(side) if isinstance(side, sql.ColumnRef) else []
        if names == [TENANT] and len(tables) == 1:
            names = [next(iter(tables)), TENANT]
        sides.append(names[0] if names[1:] == [TENANT] else "")
    return (sides[0], sides[1]) if any(sides) else None


def modules(package: str) -> Iterator[ModuleType]:
    """Yield the modules of a package but its migrations."""
    parent = importlib.import_module(package)
    for found in pkgutil.walk_packages(parent.__path__, f"{package}."):
        if ".migrations" not in found.name and not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def collect(module: ModuleType) -> list[str]:
    """Return the named statements among a module's constants."""
    pending = [*vars(module).values()]
    texts = []
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += [each for each in value.values() if isinstance(each, str | TextClause)]
        elif isinstance(value, TextClause | str) and NAME.match(str(value)):
            texts.append(value.text if isinstance(value, TextClause) else value)
    return texts


def unseen(source: str, texts: list[str]) -> Iterator[str]:
    """Yield the names of statements in ``source`` that are not among ``texts``."""
    collected = [match[1] for text in texts if (match := NAME.match(text))]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            start = re.match(r"-- ([\w.]+)", node.value)
            if start and not any(name.startswith(start[1]) for name in collected):
                yield f"{start[1]}: not a constant of its module, so no rule was checked"


def main() -> None:
    """Check both services; exit with 1 when there is a problem."""
    problems: list[str] = []
    statements = 0
    for package in PACKAGES:
        problems += model_problems(importlib.import_module(f"{package}.store.models").Base.metadata)
        for module in modules(package):
            texts = collect(module)
            statements += len(texts)
            problems += unseen(Path(str(module.__file__)).read_text(), texts)
            for text in texts:
                problems += statement_problems(text)
    left = [problem for problem in dict.fromkeys(problems) if not problem.startswith(tuple(ALLOWED))]
    for problem in left:
        print(problem)
    print(f"sql: {len(left) or 'no'} problems in {statements} statements", file=sys.stderr)
    sys.exit(1 if left else 0)


if __name__ == "__main__":
    main()
