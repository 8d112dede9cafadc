"""What the stack keeps between runs: secrets for nobody else, logs, and a note of what is running."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_SECRETS: Final = ("JWT_SECRET", "MANAGE_TOKEN_SECRET")


class InUse(Exception):
    """Another stack runs over this folder."""


@dataclass(frozen=True, slots=True)
class Running:
    """A part of the stack that runs, or should."""

    name: str
    state: str
    """running, starting or down"""
    pid: int | None
    address: str
    log_file: str


class StateFolder:
    """The stack's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.bytecode = folder / "bytecode"
        self._secrets_file = folder / "secrets.json"
        self._run_file = folder / "run.json"
        self._lock_file = folder / "up.lock"

    def prepare(self) -> None:
        """Make the folder. Others may pass through it: run by root, PostgreSQL is another user."""
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Be the one stack that runs over this folder; raise InUse when another one does."""
        with self._lock_file.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(
                    f"a stack runs already over {self.folder}; see 'ticketcap status', or set TICKETCAP_STATE_DIR"
                ) from None
            try:
                yield
            finally:
                self._run_file.unlink(missing_ok=True)

    def turn_logs(self) -> None:
        """Begin new logs; those of the run before are kept as ``*.log.1``."""
        for log in self.logs.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))

    def secrets(self) -> dict[str, str]:
        """Return the stack's secrets, made once; only the owner can read the file."""
        if not self._secrets_file.exists():
            self._make_secrets()
        kept: dict[str, str] = json.loads(self._secrets_file.read_text())
        return kept

    def _make_secrets(self) -> None:
        """Write them whole or not at all; whoever comes second keeps what the first wrote."""
        made = {name: secrets.token_urlsafe(32) for name in _SECRETS}
        scratch = self._secrets_file.with_suffix(f".{secrets.token_hex(4)}")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(made, file)
            with contextlib.suppress(FileExistsError):
                self._secrets_file.hardlink_to(scratch)
        finally:
            scratch.unlink()

    def note(self, parts: Sequence[Running]) -> None:
        """Note what is running, for ``ticketcap status``."""
        scratch = self._run_file.with_suffix(".new")
        scratch.write_text(json.dumps([asdict(part) for part in parts]))
        scratch.replace(self._run_file)

    def running(self) -> list[Running]:
        """Return what the stack that runs over this folder noted last; nothing when none runs."""
        if not self._is_owned():
            return []
        try:
            return [Running(**part) for part in json.loads(self._run_file.read_text())]
        except FileNotFoundError:
            return []

    def _is_owned(self) -> bool:
        try:
            with self._lock_file.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False
