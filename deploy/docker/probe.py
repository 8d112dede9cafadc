"""Check a service's health and exit with 0 or 1.

probe.py grpc://host:port or http://host:port/path
"""

import http.client
import sys
from urllib.parse import SplitResult, urlsplit

TIMEOUT_SECONDS = 3


def http_is_healthy(address: SplitResult) -> bool:
    connection = http.client.HTTPConnection(address.netloc, timeout=TIMEOUT_SECONDS)
    connection.request("GET", address.path or "/")
    return connection.getresponse().status == http.HTTPStatus.OK


def grpc_is_healthy(address: SplitResult) -> bool:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(address.netloc) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]  # set in its constructor
        answer = check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def main(target: str) -> int:
    address = urlsplit(target)
    check = {"http": http_is_healthy, "grpc": grpc_is_healthy}[address.scheme]
    try:
        return 0 if check(address) else 1
    except Exception as error:  # noqa: BLE001 - any error means that the service is not healthy
        sys.stderr.write(f"{target}: {type(error).__name__}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
