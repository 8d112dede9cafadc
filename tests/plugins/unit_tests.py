"""Run unit tests alone; fail those that need a socket or process.

`pytest --unit` (`make unit`) runs the packages' tests that need no database, process or socket. It leaves out:

- modules that import one of SYSTEM_NAMES,
- tests that use one of SYSTEM_FIXTURES,
- tests marked `system`,
- the folder `tests` without `tests/docs`, whose tests cross services.

Properties run with a fifth of their examples; `make test` runs them all.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_NAMES = frozenset(
    {"grpc", "socket", "subprocess", "free_port", "postgres_server", "OtlpReceiver", "IdentityProvider", "SilentProxy"}
    | {"running_gateway", "running_payment", "running_registration", "simulator_process", "replica", "world"}
)
SYSTEM_FIXTURES = frozenset(
    {
        "client",
        "collector",
        "database",
        "environment",
        "gateway",
        "ground",
        "here",
        "own_stack",
        "payment",
        "postgres",
        "prometheus",
    }
    | {"provider", "proxy"}
    | {"registration", "service", "stack", "start_stack"}
)
SYSTEM_FOLDER, EXCEPTION = ROOT / "tests", ROOT / "tests/docs"
FORBIDDEN_EVENTS = frozenset(
    {"os.exec", "os.fork", "os.posix_spawn", "socket.bind", "socket.connect", "socket.getaddrinfo", "subprocess.Popen"}
)


class NotAUnitTest(RuntimeError):
    """A unit test opened a socket or started a process; mark it ``system`` or take the cause out."""


class Guard:
    """Raises NotAUnitTest for forbidden events while a unit test runs. An audit hook can't be removed: it sleeps."""

    def __init__(self) -> None:
        self._is_awake = False
        sys.addaudithook(self._check)

    def _check(self, event: str, _arguments: object) -> None:
        if self._is_awake and event in FORBIDDEN_EVENTS:
            raise NotAUnitTest(f"{event}: a unit test opens no socket and starts no process; mark it `system`")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        """Watch set-up, test and clean-up."""
        self._is_awake = True
        try:
            return (yield)
        finally:
            self._is_awake = False


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--unit``."""
    parser.addoption("--unit", action="store_true", help="run the tests that need no database, process or socket")


def pytest_configure(config: pytest.Config) -> None:
    """Set the guard and the number of examples up before the first module is imported."""
    if config.getoption("unit"):
        settings.register_profile("unit", max_examples=settings().max_examples // 5)
        settings.load_profile("unit")
        config.pluginmanager.register(Guard(), "unit-guard")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out, without importing them, the modules that hold no unit test."""
    if not config.getoption("unit") or collection_path.suffix != ".py":
        return None
    crosses_services = SYSTEM_FOLDER in collection_path.parents and EXCEPTION not in collection_path.parents
    return crosses_services or not SYSTEM_NAMES.isdisjoint(imported_names(collection_path.read_text())) or None


def imported_names(source: str) -> Iterator[str]:
    """Yield the names that a module's import statements bind."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that are no unit tests by their fixtures or marks."""
    if not config.getoption("unit"):
        return
    system = {item for item in items if is_system_test(item)}
    config.hook.pytest_deselected(items=[item for item in items if item in system])
    items[:] = [item for item in items if item not in system]


def is_system_test(item: pytest.Item) -> bool:
    """Say whether a test is marked ``system`` or uses a fixture that runs a server or a process."""
    fixtures = getattr(item, "fixturenames", ())
    return bool(SYSTEM_FIXTURES.intersection(fixtures) or item.get_closest_marker("system"))
