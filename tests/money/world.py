"""Run payment, registration, simulator and PostgreSQL as real processes."""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc.aio
import httpx
import jwt
import psycopg
from psycopg.rows import dict_row
from ticketcap.payment.v1 import payment_pb2_grpc
from ticketcap.registration.v1 import registration_pb2_grpc
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_payment.steps import Step
from ticketcap_testing.stack import ServiceProcess, free_port

from tests.money.schedule import Kill
from tests.stack_under_test import answers, serves

SECRET: Final = "the secret of the money tests, long enough"
ROOT: Final = Path(__file__).resolve().parents[2]
Metadata = tuple[tuple[str, str], ...]


def token(role: str, school: str | None = "herzl") -> Metadata:
    """Return the metadata of a caller."""
    claims: dict[str, Any] = {"sub": "tester", "role": role, "iss": "ticketcap", "exp": time.time() + 7200}
    claims |= {"school": school} if school else {}
    return (("authorization", f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"),)


@dataclass
class StepServer:
    """Answers the payment service at each step, and kills whom the schedule names there."""

    processes: dict[str, ServiceProcess] = field(default_factory=dict)
    kills: list[Kill] = field(default_factory=list)
    reached: Counter[Step] = field(default_factory=Counter)
    killed: list[Kill] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["StepServer"]:
        """Listen while the code inside runs."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    def begin(self, kills: Sequence[Kill]) -> None:
        """Start counting for a new round."""
        self.kills, self.killed, self.reached = list(kills), [], Counter()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = (await reader.readline()).decode().strip()
        if name:
            step = Step(name)
            self.reached[step] += 1
            for kill in [one for one in self.kills if (one.step, one.nth) == (step, self.reached[step])]:
                self.kills.remove(kill)
                self.killed.append(kill)
                # SIGKILL, while the step waits: nothing after it happens.
                self.processes[kill.victim].kill()
        writer.write(b"go\n")
        writer.close()


@dataclass(kw_only=True)
class MoneyWorld:
    """Everything that runs, and how to speak to it."""

    steps: StepServer
    simulator: httpx.AsyncClient
    payment: payment_pb2_grpc.PaymentServiceStub
    registration: registration_pb2_grpc.RegistrationServiceStub
    database: str

    async def revive(self) -> None:
        """Start again what was killed."""
        for process in self.steps.processes.values():
            while not process.runs:
                killed = len(self.steps.killed)
                try:
                    await asyncio.to_thread(process.start)
                except RuntimeError:
                    # Killed once more while it started: as often as the schedule says, and no more.
                    if len(self.steps.killed) == killed:
                        raise

    def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Ask the payment database, past all its protections."""
        with psycopg.connect(self.database, row_factory=dict_row) as connection:
            return connection.execute(statement.encode(), values).fetchall()


@asynccontextmanager
async def money_world(folder: Path, *sabotage: str) -> AsyncIterator[MoneyWorld]:
    """Run everything in ``folder``; nothing is left of it afterwards."""
    steps = StepServer()
    async with steps.serving():
        with ExitStack() as running:
            parts = await asyncio.to_thread(lambda: running.enter_context(_processes(folder, steps, sabotage)))
            async with (
                httpx.AsyncClient(base_url=parts.simulator_url, timeout=10, trust_env=False) as simulator,
                grpc.aio.insecure_channel(parts.payment) as payment,
                grpc.aio.insecure_channel(parts.registration) as registration,
            ):
                yield MoneyWorld(
                    steps=steps,
                    simulator=simulator,
                    payment=payment_pb2_grpc.PaymentServiceStub(payment),
                    registration=registration_pb2_grpc.RegistrationServiceStub(registration),
                    database=parts.database,
                )


@dataclass(frozen=True, slots=True)
class _Parts:
    payment: str
    registration: str
    simulator_url: str
    database: str


@contextmanager
def _processes(folder: Path, steps: StepServer, sabotage: Sequence[str]) -> Iterator[_Parts]:
    ports = {name: free_port() for name in ("registration", "payment", "simulator")}
    with ExitStack() as running:
        postgres = EmbeddedPostgres(folder / "postgres" / "data", free_port())
        postgres.start()
        running.callback(postgres.stop)
        for name, argv, env in _commands(postgres, ports, steps.port, folder, sabotage):
            if name in {"registration", "payment"}:
                postgres.create_database(name)
                migrate = [sys.executable, "-m", f"ticketcap_{name}", "migrate"]
                subprocess.run(migrate, env={**os.environ, **env}, check=True)
            ready = _ready(name, ports[name])
            process = ServiceProcess(name, argv, env, ready=ready, folder=folder)
            steps.processes[name] = running.enter_context(process)
        yield _Parts(
            payment=f"127.0.0.1:{ports['payment']}",
            registration=f"127.0.0.1:{ports['registration']}",
            simulator_url=f"http://127.0.0.1:{ports['simulator']}",
            database=postgres.url("payment"),
        )


def _commands(
    postgres: EmbeddedPostgres, ports: dict[str, int], step_port: int, folder: Path, sabotage: Sequence[str]
) -> list[tuple[str, list[str], dict[str, str]]]:
    common = {"JWT_SECRET": SECRET, "LOG_LEVEL": "WARNING", "PYTHONPATH": str(ROOT)}
    addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    simulator = {"LISTEN_ADDRESS": addresses["simulator"], "SIMULATOR_STATE": str(folder / "yaadpay.sqlite")}
    registration = {
        **common,
        "LISTEN_ADDRESS": addresses["registration"],
        "DATABASE_URL": postgres.url("registration"),
        "MANAGE_TOKEN_SECRET": secrets.token_hex(32),
        "HOLD_EXPIRY_SECONDS": "0.2",
        "JOB_LEASE_SECONDS": "1",
        "METRICS_ADDRESS": "",
    }
    payment = {
        **common,
        "LISTEN_ADDRESS": addresses["payment"],
        "DATABASE_URL": postgres.url("payment"),
        "REGISTRATION_TARGET": addresses["registration"],
        "YAADPAY_BASE_URL": f"http://{addresses['simulator']}/p/",
        "YAADPAY_MASOF": "0010131918",
        "YAADPAY_KEY": "7110eda4d09e062aa5e4a390b0a572ac0d2c0220",
        "YAADPAY_PASSP": "yaad",
        "YAADPAY_SECONDS": "0.8",
        "YAADPAY_MONEY_SECONDS": "0.8",
        "YAADPAY_CANCEL_CUTOFF": "23:59:59",
        "JOB_LEASE_SECONDS": "1",
        "OUTBOX_LEASE_SECONDS": "1.2",
        "OUTBOX_POLL_SECONDS": "0.1",
        "FEED_POLL_SECONDS": "0.1",
        "RECONCILE_SECONDS": "0.5",
        "MONEY_TRIES": "3",
        "PAGE_SECONDS": "20",
    }
    python = [sys.executable, "-m"]
    return [
        ("simulator", [*python, "ticketcap_yaadpay_simulator"], simulator),
        ("registration", [*python, "ticketcap_registration"], registration),
        ("payment", [*python, "tests.money.launcher", str(step_port), *sabotage], payment),
    ]


def _ready(name: str, port: int) -> Callable[[], bool]:
    if name == "simulator":
        return lambda: answers(f"http://127.0.0.1:{port}/simulator/health")
    return lambda: serves(f"127.0.0.1:{port}")
