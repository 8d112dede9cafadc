"""Check the process: settings, start, SIGTERM, and kill -9 during work."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ticketcap_testing.yaadpay import Gateway
from ticketcap_yaadpay_simulator.settings import SettingError, Settings


class Program:
    """The simulator as a process of its own."""

    def __init__(self, **environment: str) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("SIMULATOR_", "DEPLOY"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ticketcap_yaadpay_simulator"],
            env={**plain, "LISTEN_ADDRESS": "127.0.0.1:0", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()
        self.gateway = Gateway(self.first_line.split(" ready on ")[-1].strip().removesuffix("/simulator/"))

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Signal it; return its exit code and what it wrote besides its first line."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=5)
        self.gateway.close()
        return self.process.returncode, output


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """Those that a test starts; none outlives it."""
    started: list[Program] = []
    yield started
    for program in started:
        if program.process.poll() is None:
            program.end(signal.SIGKILL)


def test_the_book_survives_kill_9(programs: list[Program], tmp_path: Path) -> None:
    state = str(tmp_path / "book.sqlite")
    programs.append(Program(SIMULATOR_STATE=state))
    gateway = programs[-1].gateway
    postponed, other = gateway.postponed(), gateway.postponed(Order="B")
    gateway.fault("commitTrans", "timeout_after", seconds=30)
    sender = threading.Thread(target=_sent_into_the_void, args=(gateway, postponed))
    sender.start()
    while not gateway.book().get("charges"):
        time.sleep(0.01)
    programs[-1].end(signal.SIGKILL)
    sender.join()
    programs.append(Program(SIMULATOR_STATE=state))
    gateway = programs[-1].gateway
    assert gateway.book()["net_agorot"] == 4990
    assert gateway.call("commitTrans", TransId=postponed) == {"CCode": "250"}
    assert gateway.call("commitTrans", TransId=other)["CCode"] == "0"
    ids = [row["id"] for row in gateway.transactions()]
    assert ids == sorted(set(ids))
    assert len(ids) == 4


def _sent_into_the_void(gateway: Gateway, postponed: str) -> None:
    with pytest.raises(httpx.TransportError):
        gateway.post("commitTrans", TransId=postponed)


def test_no_card_number_and_no_secret_reaches_the_disk_or_the_log(programs: list[Program], tmp_path: Path) -> None:
    programs.append(Program(SIMULATOR_STATE=str(tmp_path / "book.sqlite")))
    gateway = programs[-1].gateway
    gateway.call("getToken", TransId=gateway.charged(), Order="a\nb")
    gateway.http.get("/p/?action=soft&Masof=0010131918&PassP=yaad-secret&CC=5253360311315452")
    code, output = programs[-1].end(signal.SIGTERM)
    assert code == 0
    assert programs[-1].first_line.startswith("YaadPay simulator ready on http://127.0.0.1:")
    traces = output.encode() + b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for secret in (b"5253360311315452", b"7110eda4d09e", b"yaad-secret"):
        assert secret not in traces
    lines = output.splitlines()
    assert [line.split()[1] for line in lines] == ["SIGN", "getToken", "soft"]
    assert "CCode=0" in lines[1]


def test_sigterm_ends_it_although_a_request_sleeps(programs: list[Program]) -> None:
    programs.append(Program())
    gateway = programs[-1].gateway
    gateway.fault("commitTrans", "timeout_before", seconds=60)
    sender = threading.Thread(target=_sent_into_the_void, args=(gateway, "1"))
    sender.start()
    while gateway.http.get("/simulator/faults").json()["faults"]:
        time.sleep(0.01)
    started = time.monotonic()
    code, output = programs[-1].end(signal.SIGTERM)
    sender.join()
    assert time.monotonic() - started < 30, "it waited for the request"
    assert (code, "Traceback" in output) == (0, False)


def test_a_taken_port_ends_it(programs: list[Program]) -> None:
    programs.append(Program())
    second = Program(LISTEN_ADDRESS=programs[0].gateway.url.removeprefix("http://"))
    second.gateway.close()
    output, _ = second.process.communicate(timeout=5)
    assert second.process.returncode != 0
    assert "address already in use" in second.first_line + output
    assert "Traceback" not in second.first_line + output


def test_two_do_not_share_a_book(programs: list[Program], tmp_path: Path) -> None:
    state = str(tmp_path / "book.sqlite")
    programs.append(Program(SIMULATOR_STATE=state))
    second = Program(SIMULATOR_STATE=state)
    second.gateway.close()
    second.process.communicate(timeout=5)
    assert second.process.returncode == 2
    assert second.first_line.startswith("SIMULATOR_STATE: ")


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({"DEPLOYMENT_ENVIRONMENT": "production"}, "DEPLOYMENT_ENVIRONMENT"),
        ({"LISTEN_ADDRESS": "0.0.0.0:8090"}, "LISTEN_ADDRESS"),
        ({"LISTEN_ADDRESS": "8090"}, "LISTEN_ADDRESS"),
        ({"LISTEN_ADDRESS": "127.0.0.1:99999"}, "LISTEN_ADDRESS"),
        ({"LISTEN_ADDRESS": "0.0.0.0:1", "SIMULATOR_ANY_ADDRESS": "1"}, "SIMULATOR_ANY_ADDRESS"),
        ({"SIMULATOR_STATE": "/nowhere/at/all.sqlite"}, "SIMULATOR_STATE"),
        ({"SIMULATOR_SUCCESS_URL": "/return"}, "SIMULATOR_SUCCESS_URL"),
        ({"SIMULATOR_FAILURE_URL": "http://"}, "SIMULATOR_FAILURE_URL"),
        ({"SIMULATOR_PUBLIC_URL": "ftp://x"}, "SIMULATOR_PUBLIC_URL"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingError, match=rf"^{variable}: "):
        Settings.read(environment)


def test_a_wrong_setting_stops_the_program(programs: list[Program]) -> None:
    programs.append(Program(DEPLOYMENT_ENVIRONMENT="production"))
    assert programs[-1].first_line.startswith("DEPLOYMENT_ENVIRONMENT: ")
    assert programs[-1].process.wait(30) == 2
    assert programs[-1].process.stdout is not None
    programs[-1].process.stdout.close()
    programs[-1].gateway.close()


def test_settings_have_their_defaults(tmp_path: Path) -> None:
    settings = Settings.read({})
    assert (settings.host, settings.port, settings.state, settings.failure_url) == ("127.0.0.1", 8090, None, None)
    assert settings.public_url == "http://127.0.0.1:8090"
    everywhere = Settings.read({"LISTEN_ADDRESS": "0.0.0.0:8090", "SIMULATOR_ANY_ADDRESS": "true"})
    assert everywhere.public_url == "http://127.0.0.1:8090"
    assert Settings.read({"SIMULATOR_STATE": str(tmp_path / "b")}).state == tmp_path / "b"
