"""Resolve dependencies into lock files that hold hashes and no host name.

requirements.lock is the whole workspace with its tools, for developers and CI.
services/*/requirements.lock is what one service's image installs: the same
versions, less what that service does not need.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ["registration", "payment", "gateway"]
PACKAGES = ["libs/stubs", "libs/observability", "libs/chassis", *(f"services/{service}" for service in SERVICES)]


def compile_lock(sources: list[str], output: str, *options: str) -> None:
    """Resolve ``sources`` (pyproject files) into ``output``, a path below the root."""
    command = [
        str(Path(sys.executable).with_name("uv")),
        *["pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate"],
        *["--python-version", "3.11", *options, *sources, "-o", output],
    ]
    for name in [
        "stubs",
        "observability",
        "chassis",
        "registration",
        "payment",
        "gateway",
        "local",
        "yaadpay-simulator",
    ]:
        command += ["--no-emit-package", f"ticketcap-{name}"]
    subprocess.run(command, cwd=ROOT, check=True)
    print(f"wrote {output}")


def main() -> None:
    everything = [f"{package}/pyproject.toml" for package in [*PACKAGES, "deploy/local", "deploy/local/simulator"]]
    compile_lock(everything, "requirements.lock", "--group", "pyproject.toml:dev", *sys.argv[1:])
    for service in SERVICES:
        sources = [f"services/{service}/pyproject.toml"]
        compile_lock(sources, f"services/{service}/requirements.lock", "--constraint", "requirements.lock")


if __name__ == "__main__":
    main()
