"""Resolve dependencies into lock files that hold hashes and no host name.

requirements.lock is the whole workspace with its tools, for developers and CI.
requirements.lock of a service, or of the simulator, is what its image installs: the
same versions, less what it does not need.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ["services/registration", "services/payment", "services/gateway"]
PACKAGES = ["libs/stubs", "libs/observability", "libs/chassis", *SERVICES]
LOCAL = ["deploy/local", "deploy/local/simulator"]
IMAGES = [*SERVICES, "deploy/local/simulator"]
NAMES = ["stubs", "observability", "chassis", "registration", "payment", "gateway", "local", "yaadpay-simulator"]


def compile_lock(sources: list[str], output: str, *options: str) -> None:
    """Resolve ``sources`` (pyproject files) into ``output``, a path below the root."""
    command = [
        str(Path(sys.executable).with_name("uv")),
        *["pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate"],
        *["--python-version", "3.11", *options, *sources, "-o", output],
    ]
    for name in NAMES:
        command += ["--no-emit-package", f"ticketcap-{name}"]
    subprocess.run(command, cwd=ROOT, check=True)
    print(f"wrote {output}")


def main() -> None:
    everything = [f"{package}/pyproject.toml" for package in [*PACKAGES, *LOCAL]]
    compile_lock(everything, "requirements.lock", "--group", "pyproject.toml:dev", *sys.argv[1:])
    for image in IMAGES:
        compile_lock([f"{image}/pyproject.toml"], f"{image}/requirements.lock", "--constraint", "requirements.lock")


if __name__ == "__main__":
    main()
