"""Programs that come from Debian packages: found, or the test fails and says what to install."""

import shutil
import subprocess
from pathlib import Path

PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "amtool": "prometheus-alertmanager",
    "prometheus-alertmanager": "prometheus-alertmanager",
}


def program(name: str) -> str:
    """Return the path of a program; raise AssertionError with the package to install."""
    path = shutil.which(name)
    assert path, f"{name} is missing: apt-get install --no-install-recommends {PACKAGES[name]}"
    return path


def check(*command: str | Path) -> str:
    """Run a program to its end and return what it printed; raise AssertionError when it fails."""
    done = subprocess.run(
        [program(str(command[0])), *command[1:]], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
