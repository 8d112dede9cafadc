"""Store the stack's secrets, logs and list of running parts."""

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
    """Another stack uses this folder."""


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A part of the stack and its state."""

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
        """Create the folder. Other users may pass through it: root runs PostgreSQL as another user."""
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for one stack while the code inside runs; raise InUse when another stack holds the lock."""
        with self._lock_file.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(
                    f"a stack already runs over {self.folder}: see 'ticketcap status', or set TICKETCAP_STATE_DIR"
                ) from None
            try:
                yield
            finally:
                self._run_file.unlink(missing_ok=True)

    def rotate_logs(self) -> None:
        """Rename the logs of the run before to ``*.log.1``."""
        for log in self.logs.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))

    def secrets(self) -> dict[str, str]:
        """Return the stack's secrets, created once, in a file that only its owner can read."""
        if not self._secrets_file.exists():
            self._create_secrets()
        stored: dict[str, str] = json.loads(self._secrets_file.read_text())
        return stored

    def _create_secrets(self) -> None:
        """Write the file atomically; of two processes the second uses the secrets of the first."""
        values = {name: secrets.token_urlsafe(32) for name in _SECRETS}
        scratch = self._secrets_file.with_suffix(f".{secrets.token_hex(4)}")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(values, file)
            with contextlib.suppress(FileExistsError):
                self._secrets_file.hardlink_to(scratch)
        finally:
            scratch.unlink()

    def record(self, parts: Sequence[PartStatus]) -> None:
        """Record the parts for ``ticketcap status``."""
        scratch = self._run_file.with_suffix(".new")
        scratch.write_text(json.dumps([asdict(part) for part in parts]))
        scratch.replace(self._run_file)

    def parts(self) -> list[PartStatus]:
        """Return the recorded parts of the stack that runs over this folder; an empty list when none runs."""
        if not self._is_locked():
            return []
        try:
            return [PartStatus(**part) for part in json.loads(self._run_file.read_text())]
        except FileNotFoundError:
            return []

    def _is_locked(self) -> bool:
        try:
            with self._lock_file.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False
