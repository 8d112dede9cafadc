"""Find Debian's programs, or fail and name the package to install."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "amtool": "prometheus-alertmanager",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "pgbouncer": "pgbouncer",
    "sh": "dash",
    "soffice": "libreoffice-calc-nogui",
}


def missing_packages() -> list[str]:
    """Return the packages of this list that are not installed, sorted."""
    return sorted({package for name, package in PACKAGES.items() if _path(name) is None})


def program(name: str) -> str:
    """Return the path of a program; raise AssertionError with the package to install."""
    path = _path(name)
    assert path, f"{name} is missing: apt-get install --no-install-recommends {PACKAGES[name]}"
    return path


def _path(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


def check(name: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and return what it printed; raise AssertionError with its complaint when it fails."""
    command = [program(name), *arguments]
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
