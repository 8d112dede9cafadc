"""Resolve dependencies into lock files with hashes and without host names.

The root's requirements.lock is the whole workspace with its tools, for developers and CI.
A service's or the simulator's is the part of it that the image installs, in the same versions.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ["services/registration", "services/payment", "services/gateway", "deploy/local/simulator"]
PACKAGES = ["libs/stubs", "libs/observability", "libs/chassis", "libs/testing", "deploy/local", *IMAGES]


def compile_lock(sources: list[str], output: str, *options: str) -> None:
    """Resolve ``sources`` (pyproject files) into ``output``, a path below the root."""
    command = [
        str(Path(sys.executable).with_name("uv")),
        *["pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate"],
        *["--python-version", "3.11", *options, *sources, "-o", output],
    ]
    for package in PACKAGES:
        name = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]["name"]
        command += ["--no-emit-package", name]
    subprocess.run(command, cwd=ROOT, check=True)
    print(f"wrote {output}")


def main() -> None:
    everything = [f"{package}/pyproject.toml" for package in PACKAGES]
    compile_lock(everything, "requirements.lock", "--group", "pyproject.toml:dev", *sys.argv[1:])
    for image in IMAGES:
        compile_lock([f"{image}/pyproject.toml"], f"{image}/requirements.lock", "--constraint", "requirements.lock")


if __name__ == "__main__":
    main()
