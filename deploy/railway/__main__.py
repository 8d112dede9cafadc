"""Write Railway's files, or print commands that set its variables."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent
SECRET: Final = "secret"  # noqa: S105 - the word that stands in a file where a secret belongs


def services() -> dict[str, dict[str, Any]]:
    """Return the content of each service's file by the service's name."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yml"))}


def railway_file(service: dict[str, Any]) -> str:
    """Return the JSON that Railway reads."""
    deploy = {
        "healthcheckPath": service["health_check"]["path"],
        "healthcheckTimeout": service["health_check"]["timeout_seconds"],
        "restartPolicyType": "ALWAYS",
        "drainingSeconds": service["deploy"]["drain_seconds"],
    }
    if before := service["deploy"].get("before"):
        deploy["preDeployCommand"] = [before]
    build = {
        "builder": "DOCKERFILE",
        "dockerfilePath": service["build"]["dockerfile"],
        "watchPatterns": service["build"]["watch"],
    }
    content = {"$schema": "https://railway.com/railway.schema.json", "build": build, "deploy": deploy}
    return json.dumps(content, indent=2) + "\n"


def commands(name: str) -> Iterator[str]:
    """Yield the commands that set a service's variables; secrets come from the shell's environment."""
    for variable, value in services()[name]["variables"].items():
        # ${{…}} is Railway's own reference: single quotes keep the shell away from it.
        pair = f'"{variable}=${variable}"' if value == SECRET else f"'{variable}={value}'"
        yield f"railway variables --service {name} --set {pair}"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m deploy.railway", description=__doc__)
    choices = parser.add_subparsers(dest="command", required=True)
    choices.add_parser("write", help="write <service>.json")
    choices.add_parser("variables", help="print the commands").add_argument("service", choices=services())
    options = parser.parse_args()
    if options.command == "variables":
        print(*commands(options.service), sep="\n")
        return
    for name, service in services().items():
        (FOLDER / f"{name}.json").write_text(railway_file(service))


if __name__ == "__main__":
    main()
