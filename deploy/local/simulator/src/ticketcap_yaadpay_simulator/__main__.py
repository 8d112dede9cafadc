"""Start the simulator: ``python -m ticketcap_yaadpay_simulator``."""

import asyncio
import sys

from ticketcap_yaadpay_simulator.app import application
from ticketcap_yaadpay_simulator.book import BookInUse
from ticketcap_yaadpay_simulator.server import Server
from ticketcap_yaadpay_simulator.settings import SettingError, Settings
from ticketcap_yaadpay_simulator.simulator import Simulator
from ticketcap_yaadpay_simulator.striking import Pauses


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raise BookInUse."""
    sim = Simulator.open(settings)
    pauses = Pauses()
    server = Server(application(sim, pauses), pauses, host=settings.host, port=settings.port)
    ready = asyncio.create_task(_tell_when_ready(server))
    try:
        await server.serve()
    finally:
        ready.cancel()
        sim.book.close()


async def _tell_when_ready(server: Server) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it by nothing else
        await asyncio.sleep(0.02)
    print(f"YaadPay simulator ready on http://{server.address}/simulator/", flush=True)


def main() -> int:
    """Return the exit code."""
    try:
        asyncio.run(run(Settings.read()))
    except (SettingError, BookInUse) as error:
        name = "" if isinstance(error, SettingError) else "SIMULATOR_STATE: "
        print(f"{name}{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
